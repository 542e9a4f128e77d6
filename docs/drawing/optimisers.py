"""Optimisers: the way down a narrow valley."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from drawing.canvas import DATA, EXACT, MODEL, axes
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


def draw(kind: str) -> tuple[Figure, str]:
    """One kind: figure and description."""
    rate = _RATES.get(kind, 0.1)
    config = OPTIMISERS[kind].config.model_validate({"kind": kind, "lr": rate, **_MORE.get(kind, {})})
    point = torch.nn.Parameter(torch.tensor([-2.5, 0.9]))
    built = OPTIMISERS.build(config, [point])
    path = [point.detach().clone()]
    for step in range(_STEPS):
        loss = _valley(point[0], point[1])
        built.clear()
        loss.backward()
        built.step(StepContext(step, 10, _STEPS))
        path.append(point.detach().clone())
    x, y = torch.linspace(-3, 3, 200), torch.linspace(-1.4, 1.4, 100)
    figure, (plot,) = axes()
    plot.contour(
        x,
        y,
        _valley(*torch.meshgrid(x, y, indexing="xy")),
        [0.05, 0.2, 0.6, 1.4, 3, 6, 12],
        colors=DATA,
        linewidths=0.5,
    )
    plot.plot(*torch.stack(path).T, color=MODEL, linewidth=0.9, marker="o", markersize=2)
    plot.plot(1, 0, color=EXACT, marker="x", markersize=6)
    plot.set(xticks=[], yticks=[])
    note = f", {_NOTES[kind]}" if kind in _NOTES else ""
    return figure, (
        f"{_STEPS} steps of `{kind}` at the learning rate {rate:g}{note}, from the left, on "
        "$\\frac12 (a - 1)^2 + 6 b^2$, whose minimum is the cross."
    )


def _valley(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return 0.5 * (a - 1) ** 2 + 6 * b**2
