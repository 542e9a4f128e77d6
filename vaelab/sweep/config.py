"""The sweep: what a JSON file says, validated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, field_validator, model_validator

from vaelab.errors import ConfigError
from vaelab.metrics.base import Better
from vaelab.reading import apply_overrides, read_json
from vaelab.section import Section
from vaelab.slots import describe
from vaelab.sweep.space import Dimension

Parameters = dict[str, Any]
"""A value for each path of the space."""


class Pruning(Section):
    """When a trial that does badly is stopped; judged by its first seed, after each validation."""

    kind: Literal["median", "successive_halving"]
    """`median` stops a trial whose best value so far is worse than the median of the finished trials at the same
    validation; `successive_halving` (Li et al. 2020, ASHA) lets the best 1 / `reduction_factor` pass each rung."""

    warmup: NonNegativeInt = 0
    """Validations of each trial in which it is not stopped; for `successive_halving` those before the first rung."""

    startup_trials: NonNegativeInt = 5
    """Of `median`: finished trials before which none is stopped."""

    reduction_factor: int = Field(4, ge=2)
    """Of `successive_halving`: a rung has so many times the validations of the one before it."""

    @model_validator(mode="after")
    def _only_its_own(self) -> Self:
        other = "reduction_factor" if self.kind == "median" else "startup_trials"
        if other in self.model_fields_set:
            raise ValueError(f"'{other}' has no meaning for '{self.kind}'; remove it")
        return self


class Sweep(Section):
    """One experiment under many configurations, each with several seeds."""

    schema_url: str | None = Field(None, alias="$schema", exclude=True)
    """Ignored."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,59}$")
    """Name of the sweep's folder: letters, digits, '_' and '-'."""

    description: str = ""
    """In words."""

    experiment: str | dict[str, Any]
    """An experiment, or the path of its file, from the folder of the sweep's file."""

    set: dict[str, Any] = Field(default_factory=dict)
    """Values that all trials share, by JSON path as in `--set`."""

    space: dict[str, Dimension] = Field(min_length=1)
    """What is varied, by JSON path as in `--set`. Applied in the order given, after `set`."""

    seeds: tuple[NonNegativeInt, ...] = Field((0,), min_length=1)
    """Each configuration is run once a seed; the objective is the mean over them."""

    method: Literal["grid", "random", "tpe"] = "tpe"
    """All configurations, independent draws, or a tree-structured Parzen estimator (Bergstra et al. 2011)."""

    trials: PositiveInt | None = None
    """Number of configurations; a grid has as many as it has."""

    metric: str = "negative_elbo"
    """What decides: a value of the validation data, as it is logged without the prefix `validation/`."""

    better: Better | None = None
    """`lower` or `higher`; by default what the metric says."""

    pruning: Pruning | None = None
    """Stop bad trials early; off by default."""

    seed: NonNegativeInt = 0
    """Of the configurations that are drawn."""

    @field_validator("pruning", mode="before")
    @classmethod
    def _bare_kind(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for reserved, instead in (("seed", "'seeds'"), ("name", "the sweep's 'name'")):
            if reserved in self.space or reserved in self.set:
                raise ValueError(f"'{reserved}' is neither set nor varied; it follows from {instead}")
        for path in self.space:
            if path in self.set:
                raise ValueError(f"'{path}' is in 'set' and in 'space'; remove one of the two")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed stands twice in 'seeds'")
        if self.method != "grid":
            if self.trials is None:
                raise ValueError(f"'trials' is missing: say how many configurations '{self.method}' draws")
            return self
        if self.trials is not None:
            raise ValueError("'trials' has no meaning for a grid, which has as many as it has; remove it")
        for path, dimension in self.space.items():
            if dimension.number is None:
                raise ValueError(
                    f"the range of '{path}' has no end of values for a grid: add a 'step', or use 'choices'"
                )
        return self

    @property
    def size(self) -> int | None:
        """How many configurations the space holds; None where they are not countable."""
        size = 1
        for dimension in self.space.values():
            if dimension.number is None:
                return None
            size *= dimension.number
        return size

    @property
    def limit(self) -> int:
        """How many trials there will be. A configuration is run once, so never more than the space holds."""
        return min(number for number in (self.trials, self.size) if number is not None)

    def content(self, parameters: Parameters | None = None) -> dict[str, Any]:
        """The experiment with what all trials share, and with these values of the space.

        Raises:
            ConfigError: a path leads nowhere.
        """
        assert isinstance(self.experiment, dict)
        values = {**self.set, **(parameters or {})}
        return apply_overrides(self.experiment, [f"{path}={json.dumps(value)}" for path, value in values.items()])


def parse_sweep(content: Mapping[str, Any], source: str = "sweep", folder: str | Path = ".") -> Sweep:
    """Validate a sweep given as a mapping, reading the experiment that it names.

    Args:
        content: the sweep.
        source: its name in messages.
        folder: where the path of the experiment begins.

    Raises:
        ConfigError: naming `source`, the JSON path and the remedy for each mistake.
    """
    try:
        sweep = Sweep.model_validate(dict(content))
    except ValidationError as error:
        raise ConfigError(describe(error, source, content, Sweep)) from error
    if isinstance(sweep.experiment, str):
        path = Path(folder) / sweep.experiment
        experiment = read_json(path)
        if not isinstance(experiment, dict):
            raise ConfigError(f"{path}: an experiment is a JSON object, not {type(experiment).__name__}")
        sweep = sweep.model_copy(update={"experiment": experiment})
    return sweep


def load_sweep(path: str | Path) -> Sweep:
    """Read and validate a sweep's file.

    Raises:
        ConfigError: a file cannot be read, is no JSON, or is not valid.
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a sweep is a JSON object, not {type(content).__name__}")
    return parse_sweep(content, str(path), path.parent)
