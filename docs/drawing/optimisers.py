"""Optimisers: the way down a narrow valley."""

from __future__ import annotations

from math import cos, sin
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from drawing.canvas import DATA, EXACT, MODEL, OTHER, axes
from vaelab.registry import OPTIMISERS
from vaelab.types import StepContext

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STEPS = 80
_RATES = {"sgd": 0.03, "adamw": 0.1}
_MORE: dict[str, dict[str, Any]] = {"sgd": {"momentum": 0.8}, "adamw": {"weight_decay": 1.0}}
_NOTES = {
    "sgd": "with momentum 0.8",
    "adamw": "with weight decay 1, which draws the point towards 0",
}
#: The valley of optimisers whose way depends on how it lies is turned by this angle, and Adam is drawn beside them.
_TURNS = {"soap": 0.5}


def draw(kind: str) -> tuple[Figure, str]:
    """One kind: figure and description."""
    rate, turn = _RATES.get(kind, 0.1), _TURNS.get(kind, 0.0)
    x, y = torch.linspace(-3, 3, 200), torch.linspace(-1.8, 1.8, 100) if turn else torch.linspace(-1.4, 1.4, 100)
    figure, (plot,) = axes()
    plot.contour(
        x,
        y,
        _valley(*torch.meshgrid(x, y, indexing="xy"), turn),
        [0.05, 0.2, 0.6, 1.4, 3, 6, 12],
        colors=DATA,
        linewidths=0.5,
    )
    if turn:
        plot.plot(*_path("adam", rate, turn), color=OTHER, linewidth=0.9, marker="o", markersize=2)
    plot.plot(*_path(kind, rate, turn), color=MODEL, linewidth=0.9, marker="o", markersize=2)
    plot.plot(cos(turn), sin(turn), color=EXACT, marker="x", markersize=6)
    plot.set(xticks=[], yticks=[])
    note = f", {_NOTES[kind]}" if kind in _NOTES else ""
    valley = "$\\frac12 (a - 1)^2 + 6 b^2$, whose minimum is the cross"
    if turn:
        valley += f", with the axes a and b turned by {turn:g}. In green the steps of `adam` at the same rate"
    return figure, f"{_STEPS} steps of `{kind}` at the learning rate {rate:g}{note}, from the left, on {valley}."


def _path(kind: str, rate: float, turn: float) -> Tensor:
    config = OPTIMISERS[kind].config.model_validate({"kind": kind, "lr": rate, **_MORE.get(kind, {})})
    start = torch.tensor([[-2.5 * cos(turn) - 0.9 * sin(turn), -2.5 * sin(turn) + 0.9 * cos(turn)]])
    point = torch.nn.Parameter(start)  # a matrix of one row, which is what SOAP turns
    built = OPTIMISERS.build(config, [point])
    path = [point.detach().clone()]
    for step in range(_STEPS):
        built.clear()
        _valley(point[0, 0], point[0, 1], turn).backward()
        built.step(StepContext(step, 10, _STEPS))
        path.append(point.detach().clone())
    return torch.cat(path).T


def _valley(x: Tensor, y: Tensor, turn: float) -> Tensor:
    a, b = cos(turn) * x + sin(turn) * y, cos(turn) * y - sin(turn) * x
    return 0.5 * (a - 1) ** 2 + 6 * b**2
