"""More values of a finished run, by any metrics and of as many data as the time allows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from vaelab.config import EvaluationConfig
from vaelab.errors import ConfigError, DataError
from vaelab.evaluation import Evaluation, EvaluationProgress
from vaelab.evaluation.suite import value_to_json
from vaelab.files import write_json
from vaelab.metrics import EvaluationContext, measure
from vaelab.processes import current
from vaelab.registry import ComponentConfig
from vaelab.runs import Run
from vaelab.slots import describe


def metric_configs(metrics: Iterable[str]) -> tuple[ComponentConfig, ...]:
    """Metrics from the command line: a kind such as `importance_nll`, or JSON with its arguments.

    Raises:
        ConfigError: no such metric, or its arguments are wrong; the message names the key.
    """
    content: list[Any] = []
    for text in metrics:
        try:
            content.append(json.loads(text) if text.lstrip().startswith("{") else text)
        except ValueError as error:
            raise ConfigError(f"--metric {text}: this is no JSON ({error}). Quote it for the shell.") from error
    whole = {"metrics": content, "figures": []}
    try:
        return EvaluationConfig.model_validate(whole).metrics
    except ValidationError as error:
        raise ConfigError(describe(error, "--metric", whole, EvaluationConfig)) from error


def evaluate_more(
    run: Run,
    metrics: Sequence[ComponentConfig] = (),
    *,
    split: str = "test",
    limit: int | None = None,
    console: Console | None = None,
) -> Evaluation:
    """Measure a run and add the values to its evaluation.json; those of the same names are replaced.

    Args:
        run: the run.
        metrics: in place of those of its experiment.
        split: `test`, `validation` or `train`; values of the latter two go to a file of their own.
        limit: use the first so many data only. Each value then says of how many data it is.
        console: where progress is shown; silent where None.

    Returns:
        The new values alone.

    Raises:
        DataError: the data have no such split.
        ConfigError: there is no split of that name.
    """
    splits = {"train": run.data.train, "validation": run.data.validation, "test": run.data.test}
    if split not in splits:
        raise ConfigError(f"there is no split '{split}': the splits are {', '.join(splits)}")
    chosen = splits[split]
    if chosen is None:
        raise DataError(f"{run.path}: there is nothing to evaluate on: the data have no {split} split")
    config = run.experiment.evaluation
    wanted = tuple(metrics) or config.metrics
    told = EvaluationProgress(console) if console else None
    context = EvaluationContext(config.batch_size, config.seed, limit, data=run.data, processes=current(), told=told)
    values = measure(wanted, run.model, chosen, context)
    if limit is not None and limit < len(chosen):
        # what is no mean does not know of how many data it is
        values = {name: replace(value, number=value.number or limit) for name, value in values.items()}
    named = tuple(metric.model_dump(mode="json") for metric in wanted)
    found = Evaluation(values, split, len(chosen), config.seed, config.batch_size, run.data.provenance, named)
    if current().main:
        with run.directory.locked():
            _add(run, found)
    return found


def _add(run: Run, found: Evaluation) -> None:
    header = {"run": run.path.name, "name": run.experiment.name}
    content = run.directory.read_evaluation(found.split) or {**header, **found.to_json()}
    for name, value in found.values.items():
        content["values"][name] = value_to_json(value, found.number)
    content["metrics"] += [metric for metric in found.metrics if metric not in content["metrics"]]
    write_json(run.directory.evaluation_of(found.split), content)
