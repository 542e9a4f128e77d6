"""The negative ELBO of pairs that share some of what made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from vaelab.distributions import DiagonalNormal, Distribution
from vaelab.errors import BuildError
from vaelab.inference import Trace
from vaelab.objectives.base import Loss
from vaelab.objectives.terms import TermsConfig, WithTerms
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, BuildContext, StepContext

if TYPE_CHECKING:
    from vaelab.model import VAE


class WeaklySupervisedConfig(TermsConfig):
    """Arguments of the weakly supervised ELBO."""

    kind: Literal["weakly_supervised"] = "weakly_supervised"

    shared: Literal["adaptive"] | PositiveInt = "adaptive"
    """Which latents a pair shares: those whose posteriors differ little, found for each pair, or the first so many."""

    aggregation: Literal["mean", "product"] = "mean"
    """How the two posteriors of a shared latent become one."""


@OBJECTIVES.register(WeaklySupervisedConfig)
class WeaklySupervised(WithTerms[WeaklySupervisedConfig]):
    r"""The negative ELBO of both data of a pair, whose shared latents have one posterior (Locatello et al. 2020).

    With $\delta_d = \mathrm{KL}(q(z_d \mid x_1) \,\|\, q(z_d \mid x_2))$, latent d is `adaptive`ly shared where
    $\delta_d < \frac12(\max_d\delta_d + \min_d\delta_d)$ (their section 4). A shared latent's posterior is
    the `mean` of the two means and of the two variances (GVAE, Hosoya 2019), or their normalised `product`,
    $\sigma^{-2} = \sigma_1^{-2} + \sigma_2^{-2}$, $\mu = \sigma^2(\mu_1\sigma_1^{-2} + \mu_2\sigma_2^{-2})$ (ML-VAE, Bouchacourt
    et al. 2018, section 3). So `adaptive` with `mean` is Ada-GVAE, with `product` Ada-ML-VAE, and a number of shared
    latents is ML-VAE's split into content and style. The loss of a pair is the mean of its two. It needs the data set `pairs` or
    another with pairs, and diagonal normal posteriors.

    *Cost*: two passes of encoder and decoder, one for each datum of a pair.

    Use it when pairs that share some factors can be had, which makes disentanglement possible without labels of the
    factors; pairs that share nothing, or all, teach it nothing.
    """

    def __init__(self, config: WeaklySupervisedConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.shared = config.shared
        self.aggregation = config.aggregation
        if context.data.companion != "pair":
            raise BuildError(
                "objective 'weakly_supervised' needs data in pairs, and these come alone. Wrap the data set in 'pairs': "
                '{"kind": "pairs", "data": {...}}.'
            )

    def forward(self, model: VAE, batch: Batch, context: StepContext) -> dict[str, Loss]:
        def of_pairs(loss: Loss) -> Loss:
            terms = {name: term.view(2, -1).mean(0) for name, term in loss.terms.items()}
            return Loss(loss.value.view(2, -1).mean(0), terms)

        return {player: of_pairs(loss) for player, loss in super().forward(model, batch, context).items()}

    def trace(self, model: VAE, batch: Batch) -> Trace:
        other = batch.companion
        assert other is not None
        both = Batch(
            torch.cat([batch.x, other.x]),
            observed=_both(batch.observed, other.observed),
            condition=_both(batch.condition, other.condition),
        )
        return model.infer(both, self.config.samples, adjust=self._aggregated)

    def _aggregated(self, i: int, q: Distribution) -> Distribution:
        if not isinstance(q, DiagonalNormal):
            raise BuildError(
                f"objective 'weakly_supervised' averages diagonal normal posteriors, and that of latent group {i} is a "
                f"{type(q).__name__}. Use the posterior 'diagonal_normal'."
            )
        loc, variance = q.loc.chunk(2, dim=1), q.variance.chunk(2, dim=1)
        if self.aggregation == "mean":
            mean, spread = (loc[0] + loc[1]) / 2, (variance[0] + variance[1]) / 2
        else:
            precision = 1 / variance[0] + 1 / variance[1]
            mean, spread = (loc[0] / variance[0] + loc[1] / variance[1]) / precision, 1 / precision
        shared = self._shared(loc, variance)
        means = torch.cat([torch.where(shared, mean, own) for own in loc], 1)
        variances = torch.cat([torch.where(shared, spread, own) for own in variance], 1)
        return DiagonalNormal(means, variances.sqrt(), 0.5 * variances.log(), q.event_ndim)

    def _shared(self, loc: tuple[Tensor, ...], variance: tuple[Tensor, ...]) -> Tensor:
        if isinstance(self.shared, int):
            first = torch.arange(loc[0][0, 0].numel(), device=loc[0].device) < self.shared
            return first.view_as(loc[0][0, 0])
        difference = (loc[0] - loc[1]).square()
        delta = ((variance[0] + difference) / variance[1] - 1 + (variance[1] / variance[0]).log()) / 2
        delta = delta.detach().flatten(2)
        threshold = (delta.amax(2, keepdim=True) + delta.amin(2, keepdim=True)) / 2
        return (delta < threshold).view_as(loc[0])


def _both(one: Tensor | None, two: Tensor | None) -> Tensor | None:
    return None if one is None or two is None else torch.cat([one, two])
