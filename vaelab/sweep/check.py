"""What can be known of a sweep before anything runs."""

from __future__ import annotations

import json
from typing import Any

from vaelab.build import build
from vaelab.config import Experiment, parse_experiment
from vaelab.errors import ConfigError
from vaelab.metrics import foreseen
from vaelab.metrics.base import Better
from vaelab.model import VAE
from vaelab.registry import DATASETS
from vaelab.sweep.config import Parameters, Sweep
from vaelab.types import DataSplits


def check_sweep(sweep: Sweep, source: str) -> Better:
    """Refuse what cannot run, and say which direction of the metric is better.

    The experiment with the first value of each dimension must validate and build, and so must every choice and both
    ends of every range. The data are read, since only they tell whether there are validation data.

    Args:
        sweep: what is checked.
        source: its name in messages.

    Raises:
        ConfigError: naming the dimension and its value.
        DataError: the data cannot be found.
    """
    checks = _Checks(sweep, source)
    first = checks.first_values()
    for path, dimension in sweep.space.items():
        for value in dimension.tried[1:]:
            checks.take({**first, path: value}, f"$.space.{path}: with {json.dumps(value)}")
    return checks.direction()


class _Checks:
    def __init__(self, sweep: Sweep, source: str) -> None:
        self.sweep = sweep
        self.source = source
        self.built: set[str] = set()
        self.data: dict[str, tuple[Experiment, str]] = {}
        self.base: Experiment

    def first_values(self) -> Parameters:
        """Take the first value of each dimension, one dimension after the other, so that a message names the one."""
        first: Parameters = {}
        # an experiment may be incomplete before the space fills it in, and is then judged as a whole
        try:
            self.take({}, "$.experiment")
            complete = True
        except ConfigError:
            complete = False
        self.data.clear()
        for path, dimension in self.sweep.space.items():
            value = dimension.tried[0]
            first[path] = value
            if complete:
                self.take(first, f"$.space.{path}: with {json.dumps(value)}")
        self.data.clear()
        self.base = self.take(first, "$.experiment with the first value of each dimension")
        return first

    def take(self, parameters: Parameters, where: str) -> Experiment:
        """Validate and build, each model once."""
        where = f"{self.source}: {where}"
        try:
            content = self.sweep.content(parameters)
        except ConfigError as error:
            raise ConfigError(f"{where}: {str(error).removeprefix('--set ')}") from error
        experiment = parse_experiment(content, where)
        key = _key(experiment.data, experiment.model, experiment.objective)
        if key not in self.built:
            try:
                _model(experiment)
            except ConfigError as error:
                raise type(error)(f"{where}: {error}") from error
            self.built.add(key)
        self.data.setdefault(_key(experiment.data), (experiment, where))
        return experiment

    def direction(self) -> Better:
        """Read the data, look for those of validation, and ask the metrics of an untrained model."""
        for experiment, where in list(self.data.values())[1:]:
            self._validation(experiment, where)
        data = self._validation(self.base, f"{self.source}: $.experiment")
        values = foreseen(self.base.training.validation, _model(self.base), data)
        metric = self.sweep.metric
        if metric not in values:
            raise ConfigError(
                f"{self.source}: $.metric: '{metric}' is no value of the experiment's training.validation, which yields "
                f"{', '.join(values)}. Name one of these, or add a metric to training.validation."
            )
        better = self.sweep.better or values[metric].better
        if better is None:
            raise ConfigError(
                f"{self.source}: $.better: the metric '{metric}' does not say which direction is better. Give "
                '"better": "lower" or "higher".'
            )
        return better

    def _validation(self, experiment: Experiment, where: str) -> DataSplits:
        data: DataSplits = DATASETS.build(experiment.data).load()
        if data.validation is None or not len(data.validation):
            raise ConfigError(
                f"{where}: there are no validation data, and only they may decide a sweep: a configuration that was "
                "chosen by its test data looks better than it is, and nothing unseen is left to say so. Hold some out, "
                'such as "set": {"data.validation": 1000}.'
            )
        return data


def _model(experiment: Experiment) -> VAE:
    return build(experiment.model, experiment.objective, DATASETS.build(experiment.data).spec)[0]


def _key(*parts: Any) -> str:
    return json.dumps([part.model_dump(mode="json") for part in parts], sort_keys=True)
