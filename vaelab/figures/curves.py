"""How training went."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from vaelab.figures.base import Few, Figure, FigureContext
from vaelab.figures.sheets import COLOURS, new_picture
from vaelab.history import Points, ordered, series, unit_of, without_outset
from vaelab.model import VAE
from vaelab.registry import FIGURES, ComponentConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


class CurvesConfig(ComponentConfig):
    """Arguments of the curves."""

    kind: Literal["curves"] = "curves"

    panels: Few = 9
    """Terms shown, at most."""


@FIGURES.register(CurvesConfig)
class Curves(Figure[CurvesConfig]):
    """The loss, its terms and the validation's values over the optimiser's steps, a panel each.

    The band around the validation is its standard error. The steps in which the loss falls from where it started are
    cut off at the top. Nothing where there is no history.

    *Cost*: none; it reads the history.
    """

    def draw(self, model: VAE, context: FigureContext) -> dict[str, Picture]:
        terms = series(context.history)
        # a deep hierarchy's rates by group would be a panel each
        names = [name for name in ordered(terms) if "/group_" not in name][: self.config.panels]
        if not names:
            return {}
        columns = min(3, len(names))
        rows = math.ceil(len(names) / columns)
        picture = new_picture(max(3.1 * columns, 4.2), 2.3 * rows + 0.7, "Training", context)
        panels = picture.subplots(rows, columns, squeeze=False).flatten()
        last = max(step for splits in terms.values() for points in splits.values() for step, _, _ in points)
        seen: dict[str, Any] = {}
        for panel, name in zip(panels, names, strict=False):
            for split, points in terms[name].items():
                seen.setdefault(split, _curve(panel, split, points))
            panel.set_title(name, fontsize=9)
            panel.set_xlabel("step", fontsize=8)
            panel.set_ylabel(unit_of(name, terms[name]), fontsize=8)
            panel.set_xlim(0, 1.03 * last)
            panel.set_ylim(*_limits(terms[name].values()))
            panel.tick_params(labelsize=7)
            panel.grid(alpha=0.25, linewidth=0.6)
            panel.spines[["top", "right"]].set_visible(False)
        for panel in panels[len(names) :]:
            panel.set_visible(False)
        picture.legend(seen.values(), seen.keys(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
        return {"curves": picture}


def _curve(panel: Any, split: str, points: Points) -> Any:
    steps, values, errors = zip(*points, strict=True)
    known = {"train": COLOURS[0], "validation": COLOURS[1], "test": COLOURS[2]}
    colour = known.get(split, COLOURS[3])
    # few points are measurements, many are a curve
    marker = "o" if len(points) <= 30 else None
    (line,) = panel.plot(steps, values, color=colour, linewidth=1.2, marker=marker, markersize=3)
    if any(errors):
        low = [value - error for value, error in zip(values, errors, strict=True)]
        high = [value + error for value, error in zip(values, errors, strict=True)]
        panel.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    return line


def _limits(curves: Iterable[Points]) -> tuple[float, float]:
    """All values but the first twentieth of long curves, with a margin."""
    kept = without_outset(curves)
    low, high = min(kept), max(kept)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin
