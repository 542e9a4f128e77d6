"""Deterministic posterior."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vaelab.distributions import Dirac
from vaelab.posteriors.base import Posterior, PosteriorConfig
from vaelab.registry import POSTERIORS
from vaelab.types import GroupSpec


class DiracConfig(PosteriorConfig):
    """Arguments of the deterministic posterior."""

    kind: Literal["dirac"] = "dirac"


@POSTERIORS.register(DiracConfig)
class DiracPosterior(Posterior[DiracConfig]):
    r"""$q(z \mid x) = \delta(z - \mu(x))$: a plain autoencoder (Hinton & Salakhutdinov 2006), or a Wasserstein one (Tolstikhin et al. 2018).

    It has no density, so a term with a KL is refused; use the objective `elbo` with `"divergences": []` or with terms that
    need samples alone.

    *Cost*: one output a latent number.

    Use it for autoencoders whose latents are regularised by something else than a KL; it gives no likelihood, and
    without such a term samples from the prior mean nothing.
    """  # noqa: E501  a summary is one paragraph

    multiplicity = 1

    def distribution(self, parameters: Tensor, spec: GroupSpec) -> Dirac:
        return Dirac(parameters, len(spec.shape))
