"""Mixture-of-normals prior."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import nn

from vaelab.distributions import DiagonalNormal, Mixture
from vaelab.priors.base import FlatPrior, LatentShape
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import BuildContext


class MixtureConfig(ComponentConfig):
    """Arguments of the mixture prior."""

    kind: Literal["mixture"] = "mixture"

    dim: LatentShape = 20
    """Length of the latent vector, or [C, H, W] of a latent map."""

    components: PositiveInt = Field(10, ge=2)
    """Number of normals."""

    spread: PositiveFloat = 1.0
    """Standard deviation of the means at the start."""

    @classmethod
    def example(cls) -> MixtureConfig:
        return cls(dim=4, components=3)


@PRIORS.register(MixtureConfig)
class MixturePrior(FlatPrior[MixtureConfig]):
    r"""$p(z) = \sum_c \pi_c\, \mathcal{N}(\mu_c, \operatorname{diag}\sigma_c^2)$ with everything learned.

    The multi-modal prior compared by Tomczak & Welling (2018, section 3.1) under the name MoG.

    *Cost*: as many log-densities of a normal as there are components, for each draw.

    Use it for clustered latents at little cost; components may die or coincide, and `vamp` starts from data where this
    one starts from noise.
    """

    def __init__(self, config: MixtureConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.loc = nn.Parameter(config.spread * torch.randn(config.components, *self.shape))
        self.log_scale = nn.Parameter(torch.zeros(config.components, *self.shape))
        self.logits = nn.Parameter(torch.zeros(config.components))

    def distribution(self) -> Mixture:
        normals = DiagonalNormal.from_log_scale(self.loc, self.log_scale, len(self.shape))
        return Mixture(normals, self.logits)
