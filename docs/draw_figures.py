"""Draws the figures that no stored run has, for their component pages: `python docs/draw_figures.py`.

One short run on the small digits with two latents, of which each figure is stored as docs/pictures/<kind>.png.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import vaelab

PICTURES = Path(__file__).parent / "pictures"
KINDS = ("bound_curve", "manifold", "neighbours")
EXPERIMENT = {
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


def main() -> None:
    """Train, and keep the pictures alone."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        figures = vaelab.train(EXPERIMENT, folder).path / "figures"
        for kind in KINDS:
            shutil.copyfile(next(figures.glob(f"{kind}*.png")), PICTURES / f"{kind}.png")


if __name__ == "__main__":
    main()
