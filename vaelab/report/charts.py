"""Charts as plain data, from which the template draws them as SVG and the script reads values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vaelab.history import Points, ordered, series, unit_of, without_outset
from vaelab.report.scales import label, limits, thinned, ticks

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 12, 34
#: Curves of one chart; colours and dashes tell no more apart.
MOST_CURVES = 8
#: Points of a curve, up to which each gets a mark: few points are measurements.
_MARKED = 30


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
        name: in the legend.
        colour: number of the colour and the dash.
        path: as SVG draws it.
        band: the same of the standard error, or empty.
        points: step, value and standard error, for the table and the script.
        marks: places of the points, where they are few.
    """

    name: str
    colour: int
    path: str
    band: str
    points: Points
    marks: list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A chart of values over steps.

    Attributes:
        key: of the elements that belong to it.
        title: what is shown.
        unit: of the values.
        curves: the lines.
        x_ticks: place and text.
        y_ticks: likewise.
        summary: the chart in a sentence, for those who do not see it.
        box: of the values: least and greatest step, least and greatest value.
        positive: whether a logarithmic axis is possible.
        rows: of the table, the step first.
        steps: how many there are.
        last: the last values, in words.
    """

    key: str
    title: str
    unit: str
    curves: list[Curve]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    summary: str
    box: tuple[float, float, float, float]
    positive: bool
    rows: list[list[str]]
    steps: int
    last: str

    @property
    def data(self) -> dict[str, Any]:
        """What the script needs."""
        return {
            "box": self.box,
            "unit": self.unit,
            "curves": [{"name": curve.name, "points": curve.points} for curve in self.curves],
        }


def x_at(step: float, box: tuple[float, float, float, float]) -> float:
    """Place of a step."""
    return round(LEFT + (WIDTH - LEFT - RIGHT) * (step - box[0]) / ((box[1] - box[0]) or 1), 1)


def y_at(value: float, box: tuple[float, float, float, float]) -> float:
    """Place of a value; what lies outside is clipped by the frame."""
    place = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - box[2]) / ((box[3] - box[2]) or 1)
    return round(min(max(place, -HEIGHT), 2 * HEIGHT), 1)


def chart(key: str, title: str, unit: str, curves: Mapping[str, Points]) -> Chart:
    """A chart of these curves, by name.

    The steps in which long curves fall from where they started are cut off at the top.
    """
    shown = {name: thinned(points) for name, points in list(curves.items())[:MOST_CURVES]}
    steps = [step for points in shown.values() for step, _, _ in points]
    low, high = limits(without_outset(shown.values()))
    box = (0.0 if min(steps) >= 0 else min(steps), float(max(steps)) or 1.0, low, high)
    drawn = [_curve(number, name, points, box) for number, (name, points) in enumerate(shown.items())]
    return Chart(
        key,
        title,
        unit,
        drawn,
        [(x_at(tick, box), label(tick)) for tick in ticks(box[0], box[1], 4)],
        [(y_at(tick, box), label(tick)) for tick in ticks(low, high)],
        _summary(title, unit, shown),
        box,
        all(value > 0 for points in shown.values() for _, value, _ in points),
        _rows(shown),
        len(set(steps)),
        _last(unit, shown),
    )


def _curve(number: int, name: str, points: Points, box: tuple[float, float, float, float]) -> Curve:
    places = [(x_at(step, box), y_at(value, box)) for step, value, _ in points]
    path = "M" + "L".join(f"{x} {y}" for x, y in places)
    band = ""
    if any(error for _, _, error in points):
        upper = [f"{x_at(s, box)} {y_at(v + e, box)}" for s, v, e in points]
        lower = [f"{x_at(s, box)} {y_at(v - e, box)}" for s, v, e in reversed(points)]
        band = "M" + "L".join(upper + lower) + "Z"
    kept = [(step, float(f"{value:.6g}"), float(f"{error:.3g}")) for step, value, error in points]
    return Curve(name, number, path, band, kept, places if len(points) <= _MARKED else [])


def _last(unit: str, curves: Mapping[str, Points]) -> str:
    """What the script writes when the cursor stands on the last step."""
    step = max(points[-1][0] for points in curves.values())
    values = [f"{name} {label(points[-1][1])}" for name, points in curves.items() if points[-1][0] == step]
    return f"step {step:,}: {', '.join(values)}{f' {unit}' if unit else ''}"


def _summary(title: str, unit: str, curves: Mapping[str, Points]) -> str:
    unit = f" {unit}" if unit else ""
    parts = [
        f"{name} goes from {label(float(f'{points[0][1]:.4g}'))} at step {points[0][0]:,} to "
        f"{label(float(f'{points[-1][1]:.4g}'))}{unit} at step {points[-1][0]:,}"
        for name, points in curves.items()
    ]
    return f"{title} over training steps: {'; '.join(parts)}."


def _rows(curves: Mapping[str, Points], most: int = 24) -> list[list[str]]:
    """A table of at most so many steps, a column a curve."""
    every = sorted({step for points in curves.values() for step, _, _ in points})
    steps = every if len(every) <= most else [every[round(i * (len(every) - 1) / (most - 1))] for i in range(most)]
    values = [{step: value for step, value, _ in points} for points in curves.values()]
    rows = []
    for step in dict.fromkeys(steps):
        found = [label(float(f"{column[step]:.5g}")) if step in column else "" for column in values]
        rows.append([f"{step:,}", *found])
    return rows


def term_charts(histories: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[Chart]:
    """A chart a term, each with a curve a split of each run.

    Args:
        histories: the lines of metrics.jsonl by name of the run.
    """
    found = {run: series(history) for run, history in histories.items()}
    names = ordered(dict.fromkeys(name for terms in found.values() for name in terms if "group_" not in name))
    charts: list[Chart] = []
    for name in names:
        curves = {}
        splits: dict[str, None] = {}
        for run, terms in found.items():
            for split, points in terms.get(name, {}).items():
                splits[split] = None
                curves[f"{run}, {split}" if len(found) > 1 else split] = points
        charts.append(chart(f"term-{len(charts)}", name, unit_of(name, splits), curves))
    rates = {
        (f"{run}, {player}" if len(found) > 1 else player): points
        for run, history in histories.items()
        for player, points in _learning_rates(history).items()
    }
    if rates:
        charts.append(chart(f"term-{len(charts)}", "learning rate", "", rates))
    return charts


def _learning_rates(history: Iterable[Mapping[str, Any]]) -> dict[str, Points]:
    rates: dict[str, Points] = {}
    for line in history:
        for name, value in line.items():
            if (name == "lr" or name.endswith("/lr")) and isinstance(value, int | float) and math.isfinite(value):
                player = name.removesuffix("lr").removesuffix("/") or "model"
                rates.setdefault(player, []).append((line["step"], float(value), 0.0))
    return rates


def group_charts(lines: Sequence[Mapping[str, Any]], key: str) -> list[Chart]:
    """The rate of each latent group over steps, in charts of a few groups each.

    Args:
        lines: probes, or validations where there are none.
        key: begins the keys of the charts.
    """
    terms = series(lines)
    groups = {
        int(name.rsplit("_", 1)[1]): points
        for name, splits in terms.items()
        if name.startswith("rate/group_")
        for points in splits.values()
    }
    if not groups and "rate" in terms:
        [points, *_] = terms["rate"].values()
        return [chart(f"{key}-0", "rate of the latent group", "nats", {"group 0": points})]
    charts: list[Chart] = []
    numbers = sorted(groups)
    for start in range(0, len(numbers), MOST_CURVES):
        part = numbers[start : start + MOST_CURVES]
        title = "rate by latent group" if len(numbers) <= MOST_CURVES else f"rate of groups {part[0]} to {part[-1]}"
        charts.append(chart(f"{key}-{start}", title, "nats", {f"group {i}": groups[i] for i in part}))
    return charts
