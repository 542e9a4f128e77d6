"""Evaluation tables: values with their standard errors, as text and as bars."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vaelab.evaluation import Evaluation
from vaelab.evaluation.tables import written
from vaelab.metrics import Value
from vaelab.report.collect import RunContent

#: Of a 95 % interval.
_NORMAL = 1.96
_GROUP = re.compile(r"/group_\d+(/unit_\d+)?$")


@dataclass(frozen=True)
class Cell:
    """One value of one run.

    Attributes:
        text: value and standard error.
        interval: the 95 % interval of the mean over the data in words, or empty.
        bar: places from 0 to 100 of the value, of the lower and of the upper end of its interval; None where there is no axis.
    """

    text: str
    interval: str
    bar: tuple[float, float, float] | None


@dataclass(frozen=True)
class Row:
    """One value of all runs; a cell is None where a run has none."""

    name: str
    unit: str
    better: str
    cells: list[Cell | None]


@dataclass(frozen=True)
class Table:
    """The values on one split.

    Attributes:
        split: of the data.
        number: of data, by run.
        rows: values of the whole model.
        by_group: values of single latent groups.
        from_zero: whether bars begin at 0 (one run, values of one unit on one axis) or show where the values of several
            runs lie, each row on an axis of its own.
    """

    split: str
    number: list[int | None]
    rows: list[Row]
    by_group: list[Row]
    from_zero: bool


def tables(runs: Sequence[RunContent]) -> list[Table]:
    """A table a split that any run was evaluated on."""
    made = []
    for split in ("test", "validation", "train"):
        found = [Evaluation.from_json(run.evaluations[split]) if split in run.evaluations else None for run in runs]
        if any(found):
            made.append(_table(split, found))
    return made


def _table(split: str, found: Sequence[Evaluation | None]) -> Table:
    names = dict.fromkeys(name for evaluation in found if evaluation for name in evaluation.values)
    columns = [evaluation.values if evaluation else {} for evaluation in found]
    single = len(columns) == 1
    rows = []
    for name in names:
        values = [column.get(name) for column in columns]
        first = next(value for value in values if value is not None)
        if single:
            axis = _axis([v for n, v in columns[0].items() if v.unit == first.unit and not _GROUP.search(n)], zero=True)
        else:
            axis = _axis([value for value in values if value is not None], zero=False)
        better = {"lower": "lower is better", "higher": "higher is better", None: ""}[first.better]
        rows.append(Row(name, first.unit, better, [_cell(value, axis) for value in values]))
    return Table(
        split,
        [evaluation.number if evaluation else None for evaluation in found],
        [row for row in rows if not _GROUP.search(row.name)],
        [row for row in rows if _GROUP.search(row.name)],
        single,
    )


def _axis(values: Sequence[Value], *, zero: bool) -> tuple[float, float] | None:
    """The axis on which these stand, or None where none of them has a standard error."""
    having = [value for value in values if value.stderr is not None and math.isfinite(value.value)]
    if not having or (not zero and len(values) < 2):
        return None
    low = min(value.value - _NORMAL * (value.stderr or 0) for value in having)
    high = max(value.value + _NORMAL * (value.stderr or 0) for value in having)
    if zero:
        return min(0.0, low), max(0.0, high)
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def _cell(value: Value | None, axis: tuple[float, float] | None) -> Cell | None:
    if value is None:
        return None
    if not math.isfinite(value.value):
        return Cell("not finite", "", None)
    text, error = written(value), value.stderr
    if error is None or not math.isfinite(error):
        return Cell(text, "", None)
    low, high = value.value - _NORMAL * error, value.value + _NORMAL * error
    interval = f"{low:.5g} to {high:.5g}"
    if axis is None:
        return Cell(text, interval, None)
    mid, left, right = (_place(number, axis) for number in (value.value, low, high))
    return Cell(text, interval, (mid, left, right))


def _place(number: float, axis: tuple[float, float]) -> float:
    return round(100 * (number - axis[0]) / ((axis[1] - axis[0]) or 1), 2)


@dataclass(frozen=True)
class Bars:
    """A bar a group or unit.

    Attributes:
        title: what is shown.
        items: name, value, height from 0 to 100, and what became of it.
        summary: in a sentence.
    """

    title: str
    items: list[tuple[str, float, float, str]]
    summary: str


def bars(title: str, items: Sequence[tuple[str, float, str]]) -> Bars | None:
    """Bars of values that are not negative, in nats.

    Args:
        title: what is shown.
        items: name, value, and what became of it.
    """
    items = [(name, max(value, 0.0), words) for name, value, words in items if math.isfinite(value)]
    if not items:
        return None
    top = max(value for _, value, _ in items) or 1.0
    largest = max(items, key=lambda item: item[1])
    total = sum(value for _, value, _ in items)
    summary = f"{len(items)} bars, {total:.4g} nats together; the largest is {largest[0]} with {largest[1]:.3g} nats."
    return Bars(title, [(name, value, round(100 * value / top, 2), words) for name, value, words in items], summary)


def group_bars(run: RunContent) -> Bars | None:
    """The rate of each latent group on the test data, or at the last probe."""
    values: dict[str, Any] = {
        name: value.get("value") for name, value in run.evaluations.get("test", {}).get("values", {}).items()
    }
    rates = {name: value for name, value in values.items() if name.startswith("rate/group_") and value is not None}
    if not rates and run.probes:
        rates = {name: value for name, value in run.probes[-1].items() if name.startswith("rate/group_")}
    items = [(f"group {name.rsplit('_', 1)[1]}", float(value), "") for name, value in rates.items()]
    return bars("Rate of each latent group, in nats", items)
