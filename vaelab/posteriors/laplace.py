"""Laplace posterior."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vaelab.distributions import Laplace
from vaelab.posteriors.base import Posterior, PosteriorConfig
from vaelab.registry import POSTERIORS
from vaelab.types import GroupSpec


class LaplaceConfig(PosteriorConfig):
    """Arguments of the Laplace posterior."""

    kind: Literal["laplace"] = "laplace"


@POSTERIORS.register(LaplaceConfig)
class LaplacePosterior(Posterior[LaplaceConfig]):
    r"""$q(z \mid x) = \prod_d \operatorname{Laplace}(z_d; \mu_d(x), b_d(x))$.

    Heavier tails than the normal's, from the location-scale families of Kingma & Welling (2014, section 2.4). The head's
    second output is $\log b$.

    *Cost*: two outputs a latent number.

    Use it where single latents should be allowed far from the mean; with a normal prior the bound is seldom better than
    that of `diagonal_normal`.
    """

    multiplicity = 2

    def distribution(self, parameters: Tensor, spec: GroupSpec) -> Laplace:
        loc, log_scale = parameters.chunk(2, dim=2)
        return Laplace(loc, log_scale, event_ndim=len(spec.shape))
