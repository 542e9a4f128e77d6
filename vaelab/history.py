"""The lines of metrics.jsonl as series, a term at a time."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

#: Step, value, standard error (0 where there is none).
Points = list[tuple[float, float, float]]

#: What a line holds besides terms: where it stands, and how fast and with what settings it was made.
_BOOKKEEPING = re.compile(
    r"^(step|epoch|split|(.*/)?(lr|time|seconds|memory|\w*(gradient_norm|_per_second|_seconds|_weight|_stderr)))$"
)
#: Of the validation's values, those that are in nats; the terms of the training all are.
_NATS = re.compile(
    r"^(negative_elbo|distortion|(unit_)?rate|nll_(is|ais)\w+|(amortisation|approximation|inference)_gap_\w+"
    r"|(mutual_information|aggregate_kl|total_correlation|dimension_kl)(_\w+)?)(/|$)"
)
#: Counts of a training's steps, which stand in its lines beside the terms.
_STEPS = ("skipped", "nonfinite")
_FIRST = ("loss", "negative_elbo", "distortion", "rate", "kl")


def series(history: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Points]]:
    """The history by term and split; what is no finite number is left out."""
    found: dict[str, dict[str, Points]] = defaultdict(lambda: defaultdict(list))
    for line in history:
        for name, value in line.items():
            if "step" not in line or _BOOKKEEPING.match(name) or isinstance(value, bool):
                continue
            if isinstance(value, int | float) and math.isfinite(value):
                error = line.get(f"{name}_stderr") or 0.0
                found[name][str(line.get("split", "train"))].append((line["step"], value, error))
    return found


def ordered(names: Iterable[str]) -> list[str]:
    """Names of terms: the loss and the parts of the bound first, the others as they come."""
    return sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))


def unit_of(name: str, splits: Iterable[str]) -> str:
    """What a series is in: nats, steps, or nothing."""
    if name in _STEPS:
        return "steps"
    return "nats" if "train" in splits or _NATS.match(name) else ""


def without_outset(curves: Iterable[Points]) -> list[float]:
    """All values but the first twentieth of long curves, in which the loss falls from where it started."""
    return [value for points in curves for _, value, _ in points[len(points) // 20 :]]
