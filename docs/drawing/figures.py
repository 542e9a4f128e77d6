"""Figures that no stored run has: of one short run on the small digits with two latents."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

from drawing.canvas import axes
from drawing.runs import trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZES = {"bound_curve": (4.6, 3.0), "manifold": (2.4, 2.4), "neighbours": (4.0, 4.0)}
KINDS = ("bound_curve", "manifold", "neighbours")


def draw(kind: str) -> tuple[Figure, str]:
    """One kind: figure and description."""
    from PIL import Image

    figure, (plot,) = axes(1, *_SIZES[kind])
    plot.imshow(Image.open(io.BytesIO(_pictures()[kind])))
    plot.set_axis_off()
    return figure, f"The figure `{kind}` of a short run on the small digits with two latents."


@cache
def _pictures() -> dict[str, bytes]:
    with trained(training={"epochs": None, "steps": 1500}, figures=KINDS) as run:
        return {kind: next(run.directory.figures.glob(f"{kind}*.png")).read_bytes() for kind in KINDS}
