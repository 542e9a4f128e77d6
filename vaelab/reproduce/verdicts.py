"""Whether what came out is what was published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot
from statistics import fmean, stdev
from typing import Any

from vaelab.reproduce.papers import Difference, Order, Paper


@dataclass(frozen=True)
class Verdict:
    """One published figure, difference or order beside ours.

    Attributes:
        paper: name of the paper's folder.
        experiments: what it is about.
        what: in words.
        value: name of vaelab's value.
        published: the number, or the order in words.
        ours: likewise, None where there is none yet.
        error: standard error over the data, or over the seeds where there are several; where known. Of an order, that of
            `gap`, as if its two values were independent.
        reached: None where there is nothing to judge yet.
        gap: of an order, the least difference between neighbours, negative where it is not ours.
    """

    paper: str
    experiments: tuple[str, ...]
    what: str
    value: str
    published: float | str
    within: float | None
    ours: float | str | None
    error: float | None
    reached: bool | None
    gap: float | None = None

    @property
    def difference(self) -> float | None:
        """Ours less the published one; of an order, its gap."""
        if self.gap is not None:
            return self.gap
        if isinstance(self.ours, float) and isinstance(self.published, float):
            return self.ours - self.published
        return None


def over_seeds(found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The values of trainings that differ in their seed: the mean of each number, and the standard error of the mean.

    One training's values are left as they are, with the error over its data.
    """
    if len(found) < 2:
        return found[0] if found else {}
    averaged = {}
    for name, value in found[0].items():
        numbers = [number for values in found if (number := values.get(name, {}).get("value")) is not None]
        if len(numbers) == len(found):
            error = stdev(numbers) / len(numbers) ** 0.5
            averaged[name] = {"value": fmean(numbers), "stderr": error, "better": value.get("better")}
    return averaged


def verdicts(paper: Paper, values: Mapping[str, Mapping[str, Any]], *, short: bool = False) -> list[Verdict]:
    """Judge all that a paper states.

    A figure is reached where ours is better, or worse by no more than its `within`; a difference, and the value of a
    short version, where it lies no further off on either side; an order where ours is the same.

    Args:
        paper: what is published.
        values: `values` of the evaluation by experiment. Experiments may be missing.
        short: the values are those of short versions.
    """
    if short:
        return list(_short(paper, values))
    return [
        *_figures(paper, values),
        *(_difference(paper, difference, values) for difference in paper.differences),
        *(_order(paper, order, values) for order in paper.orders),
    ]


def _figures(paper: Paper, values: Mapping[str, Mapping[str, Any]]) -> Iterator[Verdict]:
    for name, figure in paper.figures.items():
        if figure.published is None:
            continue
        found = values.get(name, {}).get(figure.value)
        ours, error = _number(found)
        reached = None
        if ours is not None and found is not None:
            worse = figure.published - ours if found.get("better") == "higher" else ours - figure.published
            reached = worse <= figure.within
        yield Verdict(
            paper.name, (name,), figure.what, figure.value, figure.published, figure.within, ours, error, reached
        )


def _short(paper: Paper, values: Mapping[str, Mapping[str, Any]]) -> Iterator[Verdict]:
    for name, figure in paper.figures.items():
        short = figure.short
        if short is not None:
            ours, error = _number(values.get(name, {}).get(short.value))
            reached = None if ours is None else abs(ours - short.expected) <= short.within
            what = f"{figure.what}, short"
            yield Verdict(paper.name, (name,), what, short.value, short.expected, short.within, ours, error, reached)


def _difference(paper: Paper, difference: Difference, values: Mapping[str, Mapping[str, Any]]) -> Verdict:
    pair = (difference.of, difference.less)
    found = [values.get(name, {}).get(difference.value) for name in pair]
    one, two = (_number(value)[0] for value in found)
    ours = error = reached = None
    if one is not None and two is not None:
        ours = one - two
        reached = abs(ours - difference.published) <= difference.within
        error = _error_of_difference(*found)
    return Verdict(
        paper.name,
        pair,
        difference.what,
        difference.value,
        difference.published,
        difference.within,
        ours,
        error,
        reached,
    )


def _order(paper: Paper, order: Order, values: Mapping[str, Mapping[str, Any]]) -> Verdict:
    found = {entry: values.get(name, {}).get(value) for entry, name, value in order.places()}
    numbers = {entry: number for entry, value in found.items() if (number := _number(value)[0]) is not None}
    ours = reached = gap = error = None
    if len(numbers) == len(found):
        higher = any(value is not None and value.get("better") == "higher" for value in found.values())
        ranked = sorted(numbers, key=lambda entry: numbers[entry], reverse=higher)
        ours, reached = _words(ranked), ranked == list(order.experiments)
        sign = 1 if higher else -1
        gap, error = min(
            (sign * (numbers[better] - numbers[worse]), _error_of_difference(found[better], found[worse]))
            for better, worse in pairwise(order.experiments)
        )
    names = tuple(dict.fromkeys(name for _, name, _ in order.places()))
    published = _words(order.experiments)
    return Verdict(paper.name, names, order.what, order.value, published, None, ours, error, reached, gap)


def _error_of_difference(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> float | None:
    first, second = _number(one)[1], _number(other)[1]
    return None if first is None or second is None else hypot(first, second)


def _words(names: Sequence[str]) -> str:
    return " before ".join(names)


def _number(value: Mapping[str, Any] | None) -> tuple[float | None, float | None]:
    if value is None or value["value"] is None:
        return None, None
    return float(value["value"]), value["stderr"]
