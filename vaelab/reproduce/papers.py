"""What papers state: `published.toml` in each folder of experiments/papers."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from vaelab.config import Experiment, load_experiment
from vaelab.errors import ConfigError
from vaelab.section import Section
from vaelab.slots import describe

#: The file of a paper's figures, beside its experiments.
PUBLISHED = "published.toml"

Text = Annotated[str, Field(min_length=1)]


class Short(Section):
    """A shorter version of an experiment, whose value is known from earlier runs: it tells of a regression, not of the paper."""

    set: dict[str, Any] = Field(default_factory=dict)
    """Settings in place of the experiment's, by their paths; they go before those that the paper's short versions share."""

    value: Text
    """Name of the value."""

    expected: float
    """What earlier runs gave, the mean over seeds."""

    within: PositiveFloat
    """How far from it on either side is no regression."""


class Figure(Section):
    """A number in a paper, for the experiment of the same name."""

    experiment: Text | None = None
    """Name of the experiment, where the figure has another: one experiment may have several figures."""

    what: Text
    """What was trained, in the paper's words."""

    where: Text
    """Table or section."""

    value: Text
    """Name of vaelab's value."""

    published: float | None = None
    """The number; null where it counts in a difference or an order only."""

    within: Annotated[float, Field(ge=0)] = 0.0
    """How much worse than that is still reached; better always is."""

    seeds: PositiveInt = 1
    """How many trainings: with the experiment's own seed, or with the seeds from 0 on where there are several. Their mean counts."""

    departs: tuple[Text, ...] = ()
    """What the experiment does otherwise than the paper."""

    short: Short | None = None
    """For `--short`."""


class Difference(Section):
    """A published difference between two experiments."""

    what: Text
    of: Text
    less: Text
    value: Text
    published: float
    within: PositiveFloat
    """How far from it on either side is still reached."""


class Order(Section):
    """A published order of experiments, the best first."""

    what: Text
    experiments: Annotated[tuple[Text, ...], Field(min_length=2)]
    """Names, or `name/value` where another value of that experiment is meant."""

    value: Text
    """Name of the value."""

    def places(self) -> Iterator[tuple[str, str, str]]:
        """Each entry with the experiment and the value that it names."""
        for entry in self.experiments:
            name, _, value = entry.partition("/")
            yield entry, name, value or self.value


class Paper(Section):
    """One folder of experiments and what is published of them."""

    title: Text
    """Authors, year and title."""

    source: Text
    """Where to find it."""

    short: dict[str, Any] = Field(default_factory=dict)
    """Settings that its short versions share, by their paths."""

    figures: dict[str, Figure] = Field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    orders: tuple[Order, ...] = ()
    folder: Annotated[Path, Field(exclude=True)] = Path()

    @model_validator(mode="after")
    def _known(self) -> Self:
        named = {name for difference in self.differences for name in (difference.of, difference.less)}
        named |= {name for order in self.orders for _, name, _ in order.places()}
        if missing := sorted(named - self.figures.keys()):
            raise ValueError(
                f"no figure of {', '.join(missing)}: a difference or an order names experiments with figures"
            )
        return self

    @property
    def name(self) -> str:
        """Name of the folder, author and year."""
        return self.folder.name

    def trainings(self, name: str, *, short: bool = False) -> list[Experiment]:
        """The experiment of a figure with each of its seeds; a shorter version has one."""
        seeds = 1 if short else self.figures[name].seeds
        return [self.experiment(name, short=short, seed=seed if seeds > 1 else None) for seed in range(seeds)]

    def experiment(self, name: str, *, short: bool = False, seed: int | None = None) -> Experiment:
        """The experiment of a figure.

        Args:
            name: of the figure.
            short: with the settings of its shorter version.
            seed: in place of the experiment's own.

        Raises:
            ConfigError: it is not valid, or has no shorter version.
        """
        shorter = self.figures[name].short
        if short and shorter is None:
            raise ConfigError(f"{self.folder / PUBLISHED}: $.figures.{name} has no short version")
        settings = {**self.short, **shorter.set} if short and shorter is not None else {}
        if seed is not None:
            settings["seed"] = seed
        overrides = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
        return load_experiment(self.folder / f"{self.figures[name].experiment or name}.json", overrides)


def read_paper(path: Path) -> Paper:
    """One `published.toml`.

    Raises:
        ConfigError: it cannot be read, names an experiment that is not there, or is not valid.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}). Correct the file.") from error
    try:
        paper = Paper.model_validate({**content, "folder": path.parent})
    except ValidationError as error:
        raise ConfigError(describe(error, str(path), content, Paper)) from error
    for name, figure in paper.figures.items():
        experiment = f"{figure.experiment or name}.json"
        if not (path.parent / experiment).is_file():
            raise ConfigError(
                f"{path}: $.figures.{name}: no experiment {experiment} beside the file. Add it, or remove the figure."
            )
    return paper


def read_papers(folder: Path) -> list[Paper]:
    """All papers below a folder, by name.

    Raises:
        ConfigError: there are none, or one is not valid.
    """
    papers = [read_paper(path) for path in sorted(folder.glob(f"*/{PUBLISHED}"))]
    if not papers:
        raise ConfigError(
            f"{folder}: no paper here: no */{PUBLISHED}. Run the command in the project's folder, or give --papers."
        )
    return papers
