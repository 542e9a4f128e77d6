"""The importance-weighted bound and its relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelab.objectives.base import MODEL
from vaelab.objectives.bounds import (
    INFERENCE,
    Bound,
    ImportanceWeighted,
    ImportanceWeightedConfig,
    importance_weighted,
    iwae_bound,
    mean_of_bounds,
    split_players,
)
from vaelab.registry import OBJECTIVES

if TYPE_CHECKING:
    from vaelab.model import VAE


class IwaeConfig(ImportanceWeightedConfig):
    """Arguments of the importance-weighted bound."""

    kind: Literal["iwae"] = "iwae"

    samples: PositiveInt = 5
    """K, importance samples a datum."""


@OBJECTIVES.register(IwaeConfig)
class Iwae(ImportanceWeighted[IwaeConfig]):
    r"""The importance-weighted bound, $-\log\frac1K\sum_k \frac{p(x, z_k)}{q(z_k \mid x)}$.

    Burda et al. (2016, equation 8), with the plain reparametrised gradient. With K = 1 it is the negative ELBO whose KL
    is estimated by Monte Carlo. The bound is no sum of terms, so it takes no divergences.

    *Cost*: K passes of the decoder and one of the encoder; memory grows alike.

    Use it for a tighter bound, and so a better generative model, at K times the decoder's cost; the encoder's gradient
    loses its signal as K grows, for which `dreg` and `piwae` were made.
    """

    def bounds(self) -> dict[str, Bound]:
        return {MODEL: importance_weighted()}


class MiwaeConfig(ImportanceWeightedConfig):
    """Arguments of the mean of importance-weighted bounds."""

    kind: Literal["miwae"] = "miwae"

    samples: PositiveInt = 8
    """K, importance samples in each bound."""

    outer: PositiveInt = 8
    """M, number of bounds; M K samples are drawn."""

    @property
    def draws(self) -> int:
        return self.outer * self.samples


@OBJECTIVES.register(MiwaeConfig)
class Miwae(ImportanceWeighted[MiwaeConfig]):
    r"""The mean of M bounds, $-\frac1M\sum_m \log\frac1K\sum_k w_{mk}$ (Rainforth et al. 2018, equation 8).

    The encoder's gradient has a better signal-to-noise ratio than that of IWAE with M K samples, whose bound is tighter.

    *Cost*: M K passes of the decoder and one of the encoder.

    Use it when the encoder itself is wanted, at the cost of M K samples; its bound is looser than that of `iwae` with
    as many.
    """

    def bounds(self) -> dict[str, Bound]:
        return {MODEL: mean_of_bounds(self.config.outer)}


class CiwaeConfig(ImportanceWeightedConfig):
    """Arguments of the combination of ELBO and importance-weighted bound."""

    kind: Literal["ciwae"] = "ciwae"

    samples: PositiveInt = 64
    """K, importance samples a datum."""

    beta: float = Field(default=0.5, ge=0, le=1)
    """Weight of the ELBO; 0 is IWAE."""


@OBJECTIVES.register(CiwaeConfig)
class Ciwae(ImportanceWeighted[CiwaeConfig]):
    r"""$-\beta\,\mathrm{ELBO} - (1-\beta)\,\mathrm{IWAE}_K$ (Rainforth et al. 2018, equation 9).

    *Cost*: K passes of the decoder and one of the encoder.

    Use it to try the way from the ELBO to the tighter bound by one number; which beta serves best is a matter of trial,
    and the cost is that of `iwae`.
    """

    def bounds(self) -> dict[str, Bound]:
        beta, one = self.config.beta, importance_weighted()

        def value(log_weight: Tensor) -> Tensor:
            return beta * log_weight.mean(0) + (1 - beta) * iwae_bound(log_weight)

        def shares(log_weight: Tensor) -> Tensor:
            return beta / log_weight.shape[0] + (1 - beta) * one.shares(log_weight)

        return {MODEL: Bound(value, shares)}


class PiwaeConfig(ImportanceWeightedConfig):
    """Arguments of the partially importance-weighted autoencoder."""

    kind: Literal["piwae"] = "piwae"

    samples: PositiveInt = 8
    """K, importance samples in each of the inference network's bounds."""

    outer: PositiveInt = 8
    """M, number of those bounds; M K samples are drawn, and the generative model's bound takes all."""

    @property
    def draws(self) -> int:
        return self.outer * self.samples


@OBJECTIVES.register(PiwaeConfig)
class Piwae(ImportanceWeighted[PiwaeConfig]):
    r"""IWAE with M K samples for the generative model, MIWAE (M, K) for the inference network.

    The generative model minimises $-\log\frac{1}{MK}\sum_{m,k} w_{mk}$, the inference network
    $-\frac1M\sum_m\log\frac1K\sum_k w_{mk}$.

    Rainforth et al. (2018, section 5): each of the two players gets the bound that serves it better. The second
    player, `inference`, uses the training's optimiser too.

    *Cost*: M K passes of the decoder, and two gradients a step.

    Use it when both a good model and a good encoder are wanted from the same M K samples; it takes two gradients a
    step.
    """

    def bounds(self) -> dict[str, Bound]:
        return {MODEL: importance_weighted(), INFERENCE: mean_of_bounds(self.config.outer)}

    def players(self, model: VAE) -> dict[str, list[nn.Parameter]]:
        return split_players(model)
