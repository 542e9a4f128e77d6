"""Evaluations of runs, by configuration, and what must be equal before two values stand in one column."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaelab.errors import ConfigError, RunError
from vaelab.evaluation import Evaluation
from vaelab.metrics import Value
from vaelab.reading import leaves
from vaelab.runs import load_run
from vaelab.wording import brief_json

#: What may differ between two runs of one configuration: names, and what does not change the trained model.
_NO_CONFIGURATION = ("seed", "name", "description", "device", "plugins", "trackers", "evaluation")
#: What says which data a value is of, in the order in which differences are reported.
_DATA = ("source", "binarisation", "binarisation_seed", "split_rule", "sizes", "files")


@dataclass(frozen=True)
class Member:
    """One run.

    Attributes:
        path: its directory.
        name: of its experiment.
        seed: of its training.
        settings: its configuration by path, such as `model.prior.dim`; runs with equal settings are of one configuration.
        evaluation: its values.
    """

    path: Path
    name: str
    seed: int
    settings: dict[str, Any]
    evaluation: Evaluation

    @property
    def key(self) -> str:
        """Equal for runs of one configuration."""
        return json.dumps(self.settings, sort_keys=True)

    def origin(self, name: str) -> dict[str, Any]:
        """What must be equal in one column: the data, their part and number, the unit, the network that saw the pictures."""
        value = self.evaluation.values[name]
        data, split = dict(self.evaluation.provenance), self.evaluation.split
        if split == "test":
            # models trained on more or fewer data compare on the same test data
            data["sizes"] = data.get("sizes", {}).get(split)
        return {
            **{key: data[key] for key in _DATA if key in data},
            **{key: data[key] for key in data if key not in (*_DATA, "place")},
            "split": split,
            "number of data": self.evaluation.number if value.number is None else value.number,
            "unit": value.unit,
            "extractor": value.extractor,
        }


def read(run: str | Path, split: str = "test") -> Member:
    """A run's settings and values.

    Raises:
        RunError: there is no such run, or it was not evaluated on the split.
    """
    loaded = load_run(run, "cpu")
    found = loaded.directory.read_evaluation(split)
    if found is None:
        raise RunError(
            f"{loaded.path}: not evaluated on the {split} split yet. Run `python -m vaelab evaluate {loaded.path} "
            f"--split {split}`."
        )
    evaluation = Evaluation.from_json(found)
    experiment = loaded.experiment.model_dump(mode="json")
    kept = {key: value for key, value in experiment.items() if key not in _NO_CONFIGURATION}
    return Member(loaded.path, loaded.experiment.name, loaded.experiment.seed, dict(leaves(kept)), evaluation)


def grouped(members: Iterable[Member]) -> list[list[Member]]:
    """Runs by configuration, each group in the order of its seeds.

    Raises:
        ConfigError: two runs have the same configuration and seed, so that they are no two samples.
    """
    groups: dict[str, list[Member]] = {}
    for member in members:
        group = groups.setdefault(member.key, [])
        for other in group:
            if other.seed == member.seed:
                raise ConfigError(
                    f"{other.path} and {member.path} have the same configuration and the seed {member.seed}, and would "
                    "count as two. Name one of them, or train with another --set seed=N."
                )
        group.append(member)
    return [sorted(group, key=lambda member: member.seed) for group in groups.values()]


def titles(groups: Sequence[Sequence[Member]]) -> list[str]:
    """A name for each group: that of its experiment, with the settings that set it apart where the name is taken twice."""
    names = [group[0].name for group in groups]
    written = []
    for name, group in zip(names, groups, strict=True):
        rivals = [other[0].settings for other, theirs in zip(groups, names, strict=True) if theirs == name]
        paths = {path: None for settings in rivals for path in settings}
        differing = [path for path in paths if len({json.dumps(settings.get(path)) for settings in rivals}) > 1]
        settings = [f"{path}={json.dumps(group[0].settings.get(path))}" for path in differing]
        written.append(f"{name} ({', '.join(settings)})" if settings else name)
    return written


def comparable(members: Sequence[Member], name: str) -> None:
    """Refuse a column whose values are not of the same data.

    Raises:
        ConfigError: naming two runs, and what differs between them.
    """
    having = [member for member in members if name in member.evaluation.values]
    for member in having[1:]:
        one, other = having[0].origin(name), member.origin(name)
        for key in {**one, **other}:
            if one.get(key) != other.get(key):
                raise ConfigError(
                    f"'{name}' of {having[0].path} and of {member.path} does not compare: the {key} is "
                    f"{brief_json(one.get(key))} and {brief_json(other.get(key))}. Compare runs on the same data, evaluate both "
                    "alike with `python -m vaelab evaluate RUN... --metric`, or choose other columns with --metric."
                )


def columns(members: Sequence[Member], wanted: Sequence[str]) -> list[str]:
    """The values to show: those asked for, or those that all runs have and that have a better direction.

    Raises:
        ConfigError: no run has a value of that name, or there is none that all have.
    """
    every = list({name: None for member in members for name in member.evaluation.values})
    for name in wanted:
        if name not in every:
            raise ConfigError(f"no run has a value '{name}'. There are: {', '.join(every)}.")
    if wanted:
        return list(wanted)
    common = [
        name
        for name, value in members[0].evaluation.values.items()
        if all(name in member.evaluation.values for member in members) and _ranks(name, value)
    ]
    if not common:
        raise ConfigError(
            f"there is no value that all {len(members)} runs have. Measure one with `python -m vaelab evaluate RUN... "
            "--metric KIND`, or choose columns with --metric."
        )
    return common


def _ranks(name: str, value: Value) -> bool:
    return value.better is not None and "/" not in name
