"""Gamma posterior."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from vaelab.distributions import Gamma
from vaelab.posteriors.base import Posterior, PosteriorConfig
from vaelab.registry import POSTERIORS
from vaelab.types import GroupSpec


class GammaConfig(PosteriorConfig):
    """Arguments of the gamma posterior."""

    kind: Literal["gamma"] = "gamma"


@POSTERIORS.register(GammaConfig)
class GammaPosterior(Posterior[GammaConfig]):
    r"""$q(z \mid x) = \prod_d \operatorname{Gamma}(z_d; a_d(x), b_d(x))$, softplus of the head's outputs, for positive latents.

    The implicit reparametrised gradient of Figurnov et al. (2018) stands where Joo et al. (2020, Dirichlet VAE) approximate the inverse
    distribution function and Naesseth et al. (2017) correct a rejection sampler. Both parameters are kept above 0.01.

    *Cost*: two outputs a latent number; the gradients of draws are implicit, by derivatives of the incomplete gamma
    function.

    Use it for positive or sparse latents such as rates and amounts; for latents without such a meaning a normal has
    gradients of lower variance.
    """

    multiplicity = 2
    support = "positive"

    def distribution(self, parameters: Tensor, spec: GroupSpec) -> Gamma:
        concentration, rate = (F.softplus(raw) + 0.01 for raw in parameters.chunk(2, dim=2))
        return Gamma(concentration, rate, event_ndim=len(spec.shape))
