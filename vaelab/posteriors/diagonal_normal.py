"""Normal posterior with a diagonal covariance."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from vaelab.distributions import DiagonalNormal
from vaelab.posteriors.base import Posterior, PosteriorConfig
from vaelab.registry import POSTERIORS
from vaelab.types import GroupSpec

# softplus underflows to 0 in float32 below about -100, and its logarithm with it
_SMALLEST_SCALE = 1e-20


class DiagonalNormalConfig(PosteriorConfig):
    """Arguments of the diagonal normal posterior."""

    kind: Literal["diagonal_normal"] = "diagonal_normal"

    scale: Literal["log_variance", "softplus", "linear"] = "log_variance"
    """What the head's second output is: log sigma^2, the argument of a softplus, or sigma itself (of either sign)."""


@POSTERIORS.register(DiagonalNormalConfig)
class DiagonalNormalPosterior(Posterior[DiagonalNormalConfig]):
    r"""$q(z \mid x) = \mathcal{N}(\mu(x), \operatorname{diag}\sigma^2(x))$ (Kingma & Welling 2014).

    *Cost*: two outputs a latent number.

    Use it as the first choice: a closed KL, low variance and one draw; it cannot express correlations between the
    latents of a datum, which is part of the bound's gap.
    """

    multiplicity = 2

    def distribution(self, parameters: Tensor, spec: GroupSpec) -> DiagonalNormal:
        loc, raw = parameters.chunk(2, dim=2)
        event_ndim = len(spec.shape)
        if self.config.scale == "log_variance":
            return DiagonalNormal.from_log_scale(loc, 0.5 * raw, event_ndim)
        scale = F.softplus(raw).clamp_min(_SMALLEST_SCALE) if self.config.scale == "softplus" else raw
        return DiagonalNormal(loc, scale, scale.abs().log(), event_ndim)
