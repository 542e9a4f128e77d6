"""Extractors: how far a turned, moved or blurred picture is from itself in features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from drawing.canvas import curves
from drawing.likelihoods import blurred, mnist, shifted
from vaelab.registry import EXTRACTORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(kind: str) -> tuple[Figure, str]:
    """One kind: figure and description."""
    extractor: Any = EXTRACTORS.build(EXTRACTORS[kind].config.model_validate({"kind": kind}))
    extractor.eval()
    x = mnist(200)
    amounts = torch.linspace(0, 4, 9)

    @torch.no_grad()
    def distance(pictures: Tensor) -> float:
        return float((extractor(pictures).features - features).norm(dim=1).mean() / apart)

    with torch.no_grad():
        features = extractor(x).features
        apart = float(torch.cdist(features, features).sum() / (len(x) * (len(x) - 1)))
    values = {
        "moved by so many pixels": [distance(shifted(x, float(a))) for a in amounts],
        "blurred by so many pixels": [distance(blurred(x, float(a))) for a in amounts],
        "turned by 10 degrees for each pixel": [distance(_turned(x, 10 * float(a))) for a in amounts],
        "two different digits": [1.0] * len(amounts),
    }
    figure = curves(amounts, values, "pixels", "distance", ylim=(0, None))
    return figure, (
        f"Mean distance in the features of `{kind}` between 200 MNIST digits and the same digits moved, blurred or turned, as a "
        "multiple of that between two different digits."
    )


def _turned(x: Tensor, degrees: float) -> Tensor:
    angle = torch.deg2rad(torch.tensor(degrees))
    turn = torch.stack(
        [
            torch.stack([angle.cos(), -angle.sin(), torch.tensor(0.0)]),
            torch.stack([angle.sin(), angle.cos(), torch.tensor(0.0)]),
        ]
    )
    return F.grid_sample(
        x, F.affine_grid(turn.expand(len(x), 2, 3), list(x.shape), align_corners=False), align_corners=False
    )
