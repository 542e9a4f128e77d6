"""Normal prior on the Poincare ball."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field, PositiveFloat

from vaelab.distributions import OnBall, RiemannianNormal, WrappedNormal
from vaelab.priors.base import FlatPrior
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import BuildContext, GroupSpec, LatentSpec


class BallNormalConfig(ComponentConfig):
    """Arguments of the normal prior on the ball."""

    kind: Literal["ball_normal"] = "ball_normal"

    dim: int = Field(default=10, ge=2)
    """d, dimensions of the ball."""

    curvature: PositiveFloat = 1.0
    """c: the ball has curvature -c and radius 1/sqrt(c). The posterior takes it from here."""

    form: Literal["wrapped", "riemannian"] = "wrapped"
    """The normal of the tangent space, or that of the ball's distance."""

    scale: PositiveFloat = 1.0
    """Sigma, a distance on the ball."""

    @classmethod
    def example(cls) -> BallNormalConfig:
        return cls(dim=3)


@PRIORS.register(BallNormalConfig)
class BallNormalPrior(FlatPrior[BallNormalConfig]):
    r"""A normal around the origin of the Poincare ball of curvature -c (Mathieu et al. 2019).

    $p(z) = \mathcal{N}(v; 0, \sigma^2 I)\,\big(\sqrt c\,r / \sinh \sqrt c\,r\big)^{d-1}$ in its form `wrapped`, with r the
    distance from the origin and v the vector of that length towards z, and $p(z) \propto e^{-r^2 / 2\sigma^2}$ in the other,
    both with respect to the ball's own volume.

    The volume of the ball grows exponentially with the radius, as the number of nodes of a tree does with its depth. The
    decoder receives the coordinates.

    *Cost*: next to none.

    Use it with `wrapped_normal` or `riemannian_normal` for data that form a tree, in 2 to about 10 dimensions; near the
    edge of the ball single precision runs out.
    """

    def __init__(self, config: BallNormalConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.latent = LatentSpec((GroupSpec(self.shape, support="ball"),))
        self.zeros: torch.Tensor
        self.register_buffer("zeros", torch.zeros(self.shape), persistent=False)

    def distribution(self) -> OnBall:
        form = WrappedNormal if self.config.form == "wrapped" else RiemannianNormal
        zeros = self.zeros if self.config.form == "wrapped" else self.zeros[0]
        return form(self.zeros, zeros + math.log(self.config.scale), self.config.curvature)
