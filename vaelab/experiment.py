"""From an experiment to a trained, evaluated and pictured model."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from vaelab.assistance import assist, check_agreement, check_data
from vaelab.build import build
from vaelab.card import write_card
from vaelab.config import Experiment, load_experiment
from vaelab.datasets import Dataset
from vaelab.determinism import deterministic
from vaelab.errors import ConfigError, DataError, VaelabError
from vaelab.evaluation import Evaluation, EvaluationProgress, draw, evaluate
from vaelab.files import sha256, write_json
from vaelab.interrupts import Interrupts
from vaelab.metrics import check_metrics
from vaelab.model import VAE
from vaelab.processes import current, start
from vaelab.provenance import config_hash, environment
from vaelab.registry import DATASETS, TRACKERS
from vaelab.report import map_latents, write_report
from vaelab.runs import Run, RunDirectory, load_data, load_run, resolve_device
from vaelab.session import Listeners, status, train_model, way_on
from vaelab.trackers import RunInfo, Tracker
from vaelab.training.checkpoint import save_weights
from vaelab.types import DataSplits

_log = logging.getLogger("vaelab")


def train(
    experiment: Experiment | str | Path | Mapping[str, Any],
    out: str | Path = "runs",
    *,
    device: str | None = None,
    console: Console | None = None,
    trackers: Sequence[Tracker[Any]] = (),
    profile: bool = False,
) -> Run:
    """Train, evaluate and picture an experiment.

    Args:
        experiment: validated, or the path of a JSON file, or its content.
        out: folder of the runs.
        device: in place of the experiment's.
        console: where progress is shown; silent where None.
        trackers: told of each line, beside those that the experiment names. One may raise `StoppedError`.
        profile: record some steps and write what they took into the run's folder `profile`. Nothing else changes.

    Returns:
        The run, whose directory holds everything.

    Raises:
        VaelabError: with a message for the user. Nothing is written before the model has been built.
    """
    processes = start()
    experiment = _experiment(experiment)
    if device is not None:
        experiment = experiment.model_copy(update={"device": device})
    prepared = _Prepared(experiment, resolve_device(experiment.device))
    data = _loaded(prepared)
    made = str(RunDirectory.create(Path(out), experiment).path) if processes.main else None
    directory = RunDirectory(Path(processes.from_main(made)))
    try:
        return _execute(
            directory, prepared, data, console or Console(quiet=True), trackers, resumed=False, profile=profile
        )
    except (ConfigError, DataError):
        if processes.main:
            directory.discard_unless_begun()
        raise


def resume(
    path: str | Path,
    *,
    previous: bool = False,
    device: str | None = None,
    console: Console | None = None,
    trackers: Sequence[Tracker[Any]] = (),
    profile: bool = False,
) -> Run:
    """Go on with a run that was stopped. It ends with the same bits as one never stopped.

    Args:
        path: of the run, or its name.
        previous: go on from the checkpoint before the newest, which is set aside. For a newest one that is damaged.
        device: in place of the experiment's.
        console: as in `train`.
        trackers: as in `train`.
        profile: as in `train`.

    Raises:
        RunError: there is no such run, or its checkpoint is damaged.
    """
    start()
    run = load_run(path, "cpu")
    prepared = _Prepared(run.experiment, resolve_device(device or run.experiment.device))
    data = _loaded(prepared, run.directory.read_manifest().get("data"))
    return _execute(
        run.directory,
        prepared,
        data,
        console or Console(quiet=True),
        trackers,
        resumed=True,
        previous=previous,
        profile=profile,
    )


def evaluate_run(run: Run, *, split: str = "test", console: Console | None = None) -> Evaluation:
    """Evaluate a run and write its evaluation.json, figures and report again.

    Args:
        run: the run.
        split: `train`, `validation` or `test`.
        console: where progress is shown; silent where None.

    Raises:
        RunError: another process writes the run.
    """
    processes = current()
    if not processes.main:
        with deterministic(run.experiment.deterministic):
            evaluation = evaluate(run.model, run.data, run.experiment.evaluation, split=split, processes=processes)
        processes.wait()
        return evaluation
    with run.directory.locked(), deterministic(run.experiment.deterministic):
        evaluation = _evaluate(run.directory, run.experiment, run.model, run.data, console, split=split)
    if run.experiment.evaluation.report:
        write_report([run.directory], run.directory.report)
    write_card(run.directory, run.experiment)
    return evaluation


def _experiment(experiment: Experiment | str | Path | Mapping[str, Any]) -> Experiment:
    from vaelab.config import parse_experiment

    if isinstance(experiment, Experiment):
        return experiment
    return parse_experiment(experiment) if isinstance(experiment, Mapping) else load_experiment(experiment)


class _Prepared:
    """Model and objective, built before any data is read, with the weights that the seed gives."""

    def __init__(self, experiment: Experiment, device: torch.device) -> None:
        self.experiment = experiment
        self.device = device
        check_agreement(experiment, current())
        torch.manual_seed(experiment.seed)
        dataset: Dataset[Any] = DATASETS.build(experiment.data)
        self.model, self.objective = build(experiment.model, experiment.objective, dataset.spec)
        check_metrics((*experiment.training.validation, *experiment.evaluation.metrics), dataset.spec)
        self.model.to(device)
        self.objective.to(device)


def _loaded(prepared: _Prepared, expected: Mapping[str, Any] | None = None) -> DataSplits:
    processes = current()
    with processes.first_on_machine():
        data = load_data(prepared.experiment, prepared.device, expected)
    check_data(data, processes)
    _say(prepared, data)
    return data


def _say(prepared: _Prepared, data: DataSplits) -> None:
    """What is about to happen, for those who asked for more."""
    _log.info("device      %s", prepared.device)
    for axis, part in prepared.model.named_children():
        size = sum(parameter.numel() for parameter in part.parameters())
        _log.info("%-11s %s, %s parameters", axis, getattr(prepared.experiment.model, axis).kind, f"{size:,}")
    _log.info("data        %s; %s", data.provenance["source"], data.provenance.get("sizes", ""))


def _execute(
    directory: RunDirectory,
    prepared: _Prepared,
    data: Any,
    console: Console,
    more_trackers: Sequence[Tracker[Any]],
    *,
    resumed: bool,
    previous: bool = False,
    profile: bool = False,
) -> Run:
    experiment, device, processes = prepared.experiment, prepared.device, current()
    run = Run(directory, experiment, device)
    # what is in memory already need not be read again
    run.__dict__.update(model=prepared.model, data=data)
    if not processes.main:
        with deterministic(experiment.deterministic):
            assist(directory, experiment, prepared.model, prepared.objective, data, previous=previous)
        prepared.model.eval()
        return run
    console.print(f"run {directory.path}", highlight=False, markup=False, soft_wrap=True)
    started = time.perf_counter()
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        stack.enter_context(deterministic(experiment.deterministic))
        if experiment.evaluation.report:
            stack.enter_context(_reported(directory))
        stack.enter_context(directory.locked())
        directory.upgrade()
        before = directory.read_manifest()
        directory.update_manifest(
            name=experiment.name,
            id=directory.path.name,
            started=before.get("started", datetime.now(UTC).isoformat(timespec="seconds")),
            seed=experiment.seed,
            config_sha256=config_hash(experiment),
            data=data.provenance,
            spec=prepared.model.data.to_json(),
            parameters=sum(p.numel() for p in prepared.model.parameters()),
            processes=processes.number,
            **environment(device),
        )
        spent = stack.enter_context(status(directory, before, started, device))
        stack.enter_context(way_on(directory))
        trackers: list[Tracker[Any]] = [*(TRACKERS.build(config) for config in experiment.trackers), *more_trackers]
        info = RunInfo(
            experiment.name, directory.path.name, directory.path, experiment.model_dump(mode="json"), resumed
        )
        for tracker in trackers:
            tracker.start(info)
            stack.push(lambda kind, *_, tracker=tracker: tracker.close(failed=kind is not None))
        listeners = Listeners(console, trackers, interrupts)
        step = train_model(
            directory,
            experiment,
            prepared.model,
            prepared.objective,
            data,
            listeners,
            previous=previous,
            profile=profile,
        )
        directory.require()
        save_weights(prepared.model, directory.weights)
        # an evaluation may take as long, and its process may be killed
        directory.update_manifest(weights_of_step=step, weights_sha256=sha256(directory.weights), **spent())
        console.print("evaluating", highlight=False)
        evaluation = _evaluate(directory, experiment, prepared.model, data, console, split="test", trackers=trackers)
        for tracker in trackers:
            tracker.finish({name: value.value for name, value in evaluation.values.items()})
    write_card(directory, experiment)
    processes.wait()
    prepared.model.eval()
    return run


def _evaluate(
    directory: RunDirectory,
    experiment: Experiment,
    model: VAE,
    data: Any,
    console: Console | None,
    *,
    split: str,
    trackers: list[Tracker[Any]] | None = None,
) -> Evaluation:
    told = EvaluationProgress(console) if console else None
    evaluation = evaluate(model, data, experiment.evaluation, split=split, processes=current(), told=told)
    content = {"run": directory.path.name, "name": experiment.name, **evaluation.to_json()}
    write_json(directory.evaluation_of(split), content)
    if split == "test" and experiment.evaluation.report:
        map_latents(directory, model, data, experiment.evaluation.seed, experiment.evaluation.batch_size)
    pictures = draw(model, data, experiment.evaluation, directory.history(), directory.figures, experiment.name)
    for tracker in trackers or ():
        for picture in pictures:
            tracker.figure(picture.stem, picture)
    return evaluation


@contextmanager
def _reported(directory: RunDirectory) -> Iterator[None]:
    """The page of the run, however it ends."""
    try:
        yield
    except Exception:
        with suppress(VaelabError):  # the error that ended the run is the one to tell
            write_report([directory], directory.report)
        raise
    write_report([directory], directory.report)
