"""The plane of a two-dimensional latent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor

from vaelab.figures.base import Figure, FigureContext
from vaelab.figures.sheets import Labels, expected, pick, sheet
from vaelab.figures.tiles import in_rows
from vaelab.metrics import offered
from vaelab.model import VAE
from vaelab.registry import FIGURES, ComponentConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

#: Draws from which a prior's moments are taken where it does not know them.
_DRAWS = 4096


class ManifoldConfig(ComponentConfig):
    """Arguments of the manifold."""

    kind: Literal["manifold"] = "manifold"

    size: int = Field(15, ge=2, le=200)
    """Rows and columns."""

    @classmethod
    def example(cls) -> ManifoldConfig:
        return cls(size=3)


@FIGURES.register(ManifoldConfig)
class Manifold(Figure[ManifoldConfig]):
    r"""E[x | z] over the plane of a latent with two numbers (Kingma & Welling 2014, figure 4).

    The rows and columns are equally spaced quantiles of a normal with the prior's mean and variance,
    $z = \mu + \sigma\Phi^{-1}(u)$. Nothing where the latents are anything else than one real group of length 2. A
    conditional model gets the condition of one datum of the test split.

    *Cost*: one pass of the decoder over the grid.
    """

    def draw(self, model: VAE, context: FigureContext) -> dict[str, Picture]:
        groups = model.prior.latent.groups
        if len(groups) != 1 or groups[0].support != "real" or groups[0].shape != (2,):
            return {}
        loc, scale = self._moments(model)
        size = self.config.size
        # the middles of equally likely intervals, so that the ends are finite
        quantiles = torch.special.ndtri((torch.arange(size, dtype=loc.dtype, device=loc.device) + 0.5) / size)
        first, second = loc[0] + scale[0] * quantiles, loc[1] + scale[1] * quantiles
        z = torch.stack([first.repeat(size), second.flip(0).repeat_interleave(size)], -1)  # z_1 grows upwards
        condition = pick(model, context.data.test, 1).condition
        if condition is not None:
            condition = condition.expand(len(z), -1)
        means = expected(model.generate(len(z), fixed={0: z}, condition=condition).likelihood)[0]
        labels = Labels(
            "The latent plane: E[x | z] at quantiles of the prior",
            rows=[f"{value:.2f}" for value in second.flip(0).tolist()],
            columns=[f"{value:.2f}" for value in first.tolist()],
            x="$z_0$",
            y="$z_1$",
        )
        picture = sheet(in_rows(means, size), model.data, labels, context)
        return {} if picture is None else {"manifold": picture}

    @staticmethod
    def _moments(model: VAE) -> tuple[Tensor, Tensor]:
        p = model.prior.group(0, model.prior.initial((1, _DRAWS))).expand(torch.Size((1, _DRAWS)))
        mean, variance = offered(p, "mean"), offered(p, "variance")
        if mean is None or variance is None:
            draws = p.sample()[0]
            return draws.mean(0), draws.std(0)
        return mean[0, 0], variance[0, 0].sqrt()
