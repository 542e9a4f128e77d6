"""The negative ELBO with any terms."""

from __future__ import annotations

from typing import Literal

from vaelab.objectives.terms import TermsConfig, WithTerms
from vaelab.registry import OBJECTIVES


class ElboConfig(TermsConfig):
    """Arguments of the ELBO."""

    kind: Literal["elbo"] = "elbo"


@OBJECTIVES.register(ElboConfig)
class Elbo(WithTerms[ElboConfig]):
    r"""Distortion plus weighted divergences, $-\mathbb{E}_q \log p(x \mid z) + \sum_j w_j D_j$, averaged over K.

    With the one term `kl` of weight 1 it is the negative ELBO (Kingma & Welling 2014,
    equation 3). A divergence with an adversary adds a player.

    *Cost*: one pass of encoder and decoder a sample, and its terms.

    Use it as the first choice, and for every model whose loss is a sum of terms; with a poor posterior the bound is
    loose, which `iwae` tightens without changing the model.
    """
