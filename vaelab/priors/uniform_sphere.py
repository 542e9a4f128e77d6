"""Uniform prior over unit vectors."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from vaelab.distributions import UniformSphere
from vaelab.priors.base import FlatPrior
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import BuildContext, GroupSpec, LatentSpec


class UniformSphereConfig(ComponentConfig):
    """Arguments of the uniform prior over the sphere."""

    kind: Literal["uniform_sphere"] = "uniform_sphere"

    dim: int = Field(default=10, ge=2)
    """Length d of the unit vectors; the sphere has d - 1 dimensions."""

    @classmethod
    def example(cls) -> UniformSphereConfig:
        return cls(dim=4)


@PRIORS.register(UniformSphereConfig)
class UniformSpherePrior(FlatPrior[UniformSphereConfig]):
    r"""Every direction alike, $p(z) = \frac{\Gamma(d/2)}{2\pi^{d/2}}$ on the unit sphere (Davidson et al. 2018).

    *Cost*: none.

    Use it for directions and cosine similarity as latent geometry; it has no centre to collapse to, and no scale to
    tell strong evidence from weak.
    """

    def __init__(self, config: UniformSphereConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.latent = LatentSpec((GroupSpec(self.shape, support="sphere"),))
        self.zeros: torch.Tensor
        self.register_buffer("zeros", torch.zeros(self.shape), persistent=False)

    def distribution(self) -> UniformSphere:
        return UniformSphere(self.zeros)
