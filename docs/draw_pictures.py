"""Draws the pictures of the component pages: `python docs/draw_pictures.py [FAMILY [KIND...]]`, all without arguments.

Every picture is made by the components themselves: small models are built and trained, and what they do is drawn. The files
lie in docs/pictures/FAMILY/KIND.png and hold their own description, which the pages print.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import torch

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from drawing.canvas import PICTURES, store
from drawing.undrawn import reason

from vaelab.registry import FAMILIES

#: The families that are drawn, and the module of docs/drawing that draws them.
MODULES = {
    "posterior": "posteriors",
    "prior": "priors",
    "likelihood": "likelihoods",
    "divergence": "divergences",
    "objective": "objectives",
    "dataset": "datasets",
    "metric": "metrics",
    "sampler": "samplers",
    "optimiser": "optimisers",
    "extractor": "extractors",
    "figure": "figures",
}


def main(family: str | None = None, *kinds: str) -> None:
    """Draw one family, some kinds of it, or everything."""
    for name in [family] if family else MODULES:
        module = importlib.import_module(f"drawing.{MODULES[name]}")
        for entry in FAMILIES[name]:
            if (kinds and entry.kind not in kinds) or reason(name, entry.kind):
                continue
            torch.manual_seed(0)
            figure, words = module.draw(entry.kind)
            store(figure, PICTURES / name / f"{entry.kind}.png", words)
            print(f"{name}/{entry.kind}: {words}")


if __name__ == "__main__":
    main(*sys.argv[1:])
