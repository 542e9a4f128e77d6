"""Figures that no stored run has: of one short run on the small digits with two latents."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from typing import TYPE_CHECKING

import vaelab
from drawing.canvas import axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZES = {"bound_curve": (4.6, 3.0), "manifold": (2.4, 2.4), "neighbours": (4.0, 4.0)}
KINDS = ("bound_curve", "manifold", "neighbours")
_EXPERIMENT = {
    "name": "figures",
    "data": {"kind": "digits", "binarisation": "dynamic"},
    "model": {
        "encoder": {"kind": "mlp", "hidden": [128]},
        "posterior": "diagonal_normal",
        "prior": {"kind": "standard_normal", "dim": 2},
        "decoder": {"kind": "mlp", "hidden": [128]},
        "likelihood": "bernoulli",
    },
    "training": {"steps": 1500, "batch_size": 64, "optimiser": {"kind": "adam", "lr": 0.002}},
    "evaluation": {"metrics": ["negative_elbo"], "figures": list(KINDS)},
}


def draw(kind: str) -> tuple[Figure, str]:
    """One kind: figure and description."""
    from PIL import Image

    figure, (plot,) = axes(1, *_SIZES[kind])
    plot.imshow(Image.open(io.BytesIO(_pictures()[kind])))
    plot.set_axis_off()
    return figure, f"The figure `{kind}` of a short run on the small digits with two latents."


@cache
def _pictures() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        figures = vaelab.train(_EXPERIMENT, folder).path / "figures"
        return {kind: next(figures.glob(f"{kind}*.png")).read_bytes() for kind in KINDS}
