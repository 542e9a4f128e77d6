"""Posteriors on the Poincare ball."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, TypeVar, cast

from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from vaelab.distributions import Distribution, OnBall, RiemannianNormal, WrappedNormal, from_tangent
from vaelab.nets import Head
from vaelab.posteriors.base import Posterior, PosteriorConfig
from vaelab.registry import POSTERIORS
from vaelab.types import GroupSpec, Shape, State

# Below it, the distance of two points of the ball is lost in the rounding of single precision.
_LEAST_SCALE = 1e-3

# times 1 / sqrt(c): how far from the origin a middle point may lie; half of what single precision resolves
_FARTHEST = 6.0


class BallConfig(PosteriorConfig):
    """Arguments of the posteriors on the ball."""

    largest_scale: PositiveFloat = Field(default=2.0, gt=_LEAST_SCALE)
    """Bound on sigma, a distance on the ball, which is half of it at the start. Without one, early training drives sigma to
    where all draws lie on the edge of what floating point resolves."""


C = TypeVar("C", bound=BallConfig)


class _BallPosterior(Posterior[C]):
    support = "ball"
    form: ClassVar[type[OnBall]]

    def scales(self, spec: GroupSpec) -> int:
        """How many scales a datum has."""
        return spec.shape[0]

    def head(self, feature_shape: Shape, spec: GroupSpec) -> nn.Module:
        target = (spec.shape[0] + self.scales(spec),)
        return Head(feature_shape, spec.context_shape, target, self.config.hidden, self.config.activation)

    def group(self, i: int, features: tuple[Tensor, ...], state: State, p: Distribution | None) -> Distribution:
        # the geometry is the prior's, so that the two cannot differ in it
        curvature = cast("OnBall", p).curvature
        raw = self.heads[self.weights[i]](features[0 if self.single_feature else i], state.hidden)
        size = self.specs[i].shape[0]
        direction, share = raw[..., :size], raw[..., size:].sigmoid()
        log_scale = (_LEAST_SCALE + (self.config.largest_scale - _LEAST_SCALE) * share).log()
        loc = from_tangent(direction.new_zeros(()).expand_as(direction), bounded(direction, curvature), curvature)
        if self.form is RiemannianNormal:
            log_scale = log_scale.squeeze(-1)
        q = self.form(loc, log_scale, curvature)
        return q if q.batch_shape == state.batch_shape else q.expand(state.batch_shape)


def bounded(u: Tensor, curvature: float) -> Tensor:
    r"""Tangent vectors `[*, d]` whose length, a distance on the ball, stays below $R = 6/\sqrt c$: $u/\sqrt{1 + \lVert u\rVert^2/R^2}$.

    Single precision resolves distances from the origin up to $12/\sqrt c$. Beyond it all points are one, the gradient of
    a middle point vanishes, and a posterior that got there in early training would stay.
    """
    farthest = _FARTHEST / math.sqrt(curvature)
    return u / (1 + u.square().sum(-1, keepdim=True) / farthest**2).sqrt()


class WrappedNormalConfig(BallConfig):
    """Arguments of the wrapped normal posterior."""

    kind: Literal["wrapped_normal"] = "wrapped_normal"


@POSTERIORS.register(WrappedNormalConfig)
class WrappedNormalPosterior(_BallPosterior[WrappedNormalConfig]):
    r"""A normal of the tangent space at $\mu(x)$, wrapped around the Poincare ball (Mathieu et al. 2019; Nagano et al. 2019).

    $\mu$ is the image of a head's output, held to lengths below $6/\sqrt c$, under the exponential map at the origin; the
    scales are one a component. The curvature is the prior's, and the KL is estimated at the sample.

    *Cost*: two outputs a latent number, and hyperbolic functions a draw.

    Use it for data with a hierarchy, in few dimensions; for data without one a flat latent of the same size does as
    well, with a closed KL.
    """

    form = WrappedNormal


class RiemannianNormalConfig(BallConfig):
    """Arguments of the Riemannian normal posterior."""

    kind: Literal["riemannian_normal"] = "riemannian_normal"


@POSTERIORS.register(RiemannianNormalConfig)
class RiemannianNormalPosterior(_BallPosterior[RiemannianNormalConfig]):
    r"""$q(z \mid x) \propto e^{-d(\mu(x), z)^2 / 2\sigma(x)^2}$ on the Poincare ball (Mathieu et al. 2019).

    As the wrapped normal, with one scale a datum and the distance of the ball in place of a tangent space's.

    *Cost*: d + 1 outputs; the radius of a draw is by rejection.

    Use it for trees and other hierarchies in few dimensions, as the normal that is natural to the ball's distance; its
    draws are by rejection, so `wrapped_normal` is faster and rarely worse.
    """

    form = RiemannianNormal

    def scales(self, spec: GroupSpec) -> int:
        return 1
