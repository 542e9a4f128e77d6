"""Annealed importance sampling of the likelihood, with a bound from the other side on the model's own data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from vaelab.inference import infer_latents
from vaelab.metrics.annealing import Bridge, Start, annealed, temperatures, tuned
from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged
from vaelab.metrics.passes import has_density
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Batch, Split, numel

#: Chains on which the step sizes are tuned.
_PILOTS = 4


class AnnealedImportanceConfig(ComponentConfig):
    """Arguments of annealed importance sampling."""

    kind: Literal["annealed_importance"] = "annealed_importance"

    chains: PositiveInt = 16
    """K, independent chains a datum."""

    steps: int = Field(1000, ge=2)
    """T, temperatures from the start to the joint density. The bounds tighten as it grows."""

    leapfrog: PositiveInt = 10
    """Leapfrog steps between two temperatures; each costs a pass and a gradient of the decoder."""

    start: Start = "prior"
    """Where the path begins: the prior, or the posterior q(z | x), from which it is shorter."""

    limit: PositiveInt | None = 100
    """Use the first so many data only; null for all."""

    simulated: NonNegativeInt = 100
    """Data drawn from the model, for which a bound from the other side is had as well; 0 leaves that out."""

    max_elements: PositiveInt = 2**21
    """Numbers a pass may hold in one tensor; data are cut into parts, and another cut is another set of draws."""

    @classmethod
    def example(cls) -> AnnealedImportanceConfig:
        return cls(chains=2, steps=3, leapfrog=2, limit=4, simulated=3)


@METRICS.register(AnnealedImportanceConfig)
class AnnealedImportance(Metric[AnnealedImportanceConfig]):
    r"""An estimate of $-\log p(x)$ by annealing from a density $\pi_0$ to $p(x, z)$ (Neal 2001; Wu et al. 2017), in nats.

    $$-\log\hat p(x) = -\log\frac1K\sum_{k=1}^K w_k, \qquad
      w = \prod_{t=1}^T \frac{f_{\beta_t}(z_{t-1})}{f_{\beta_{t-1}}(z_{t-1})}, \qquad
      f_\beta(z) = \pi_0(z)^{1-\beta}\, p(x, z)^\beta$$

    with Hamiltonian transitions between the temperatures. The weights are unbiased for p(x), so `nll_ais16_t1000` bounds
    $-\log p(x)$ from above in expectation, whatever the posterior is. Beside it stand the effective number of chains
    $(\sum w)^2/\sum w^2$ and the share of accepted transitions, which is tuned to 0.65.

    On data that the model draws itself, an exact draw of $p(z \mid x)$ is known, and annealing back from it gives weights
    that are unbiased for $1/p(x)$ (bidirectional Monte Carlo, Grosse et al. 2015). `simulated_nll_ais...` and
    `simulated_nll_reverse_ais...` bound the same number from above and from below, and `bdmc_gap_ais...` is their
    difference, no less than 0 in expectation, which bounds the error of either.

    One deviation from Wu et al.: step sizes are tuned on chains of their own before those that are weighted run, a size a
    datum and temperature. Adapted on the weighted chains they would bias the weights.

    *Bias*: upwards, smaller with more temperatures, and bounded by the gap on simulated data. *Cost*: chains x steps x
    leapfrog gradients of the decoder a datum.

    Use it to check an importance-sampled NLL on some data, or where the posterior is poor or has no density. For models of
    one latent group of real numbers; nothing for others, nor with `"start": "posterior"` where q(z | x) cannot be evaluated at any point.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        config = self.config
        if not self._possible(model, context.batches(split)):
            return {}
        name = f"ais{config.chains}_t{config.steps}"
        nll: list[Tensor] = []
        ess: list[Tensor] = []
        accepted: list[Tensor] = []
        for whole in context.limited(config.limit).batches(split):
            for batch in self._parts(model, whole):
                log_weight, accept = self._forward(*self._tuned(model, batch))
                nll.append(-_log_mean(log_weight))
                ess.append((2 * log_weight.logsumexp(0) - (2 * log_weight).logsumexp(0)).exp())
                accepted.append(accept)
        values = {
            f"nll_{name}": averaged(nll, better="lower"),
            f"ess_{name}": averaged(ess, unit="chains", better="higher"),
            f"accepted_{name}": averaged(accepted, unit=""),
        }
        return values | self._bidirectional(model, split, context, name)

    def _bidirectional(self, model: VAE, split: Split, context: EvaluationContext, name: str) -> dict[str, Value]:
        if self.config.simulated == 0:
            return {}
        above: list[Tensor] = []
        below: list[Tensor] = []
        for whole in context.limited(self.config.simulated).batches(split):
            # of the data only their conditions are taken, and the number
            drawn = model.generate(len(whole), condition=whole.condition)
            [z], x = drawn.zs, drawn.sample()
            start = 0
            for batch in self._parts(model, Batch(x, condition=whole.condition)):
                bridge, sizes = self._tuned(model, batch)
                above.append(-_log_mean(self._forward(bridge, sizes)[0]))
                exact = z[start : start + len(batch)]
                start += len(batch)
                betas = temperatures(self.config.steps)[::-1]
                exact = exact.expand(self.config.chains, *exact.shape)
                below.append(_log_mean(annealed(bridge, exact, betas, sizes.flip(0), self.config.leapfrog)[0]))
        gaps = [upper - lower for upper, lower in zip(above, below, strict=True)]
        return {
            f"simulated_nll_{name}": averaged(above),
            f"simulated_nll_reverse_{name}": averaged(below),
            f"bdmc_gap_{name}": averaged(gaps, better="lower"),
        }

    def _possible(self, model: VAE, batches: Iterator[Batch]) -> bool:
        [first, *others] = model.prior.latent.groups
        if others or first.support != "real":
            return False
        batch = next(iter(batches)).rows(slice(0, 1))
        groups, state = infer_latents(model, batch)
        [group] = groups
        if self.config.start == "posterior":
            return group.q is not None and group.q.has_log_prob and has_density(model, iter([batch]))
        likelihood = model.decoder.distribution(model.prior.readout(state), model.likelihood)
        return group.p.has_density and group.p.has_log_prob and likelihood.has_density

    def _parts(self, model: VAE, batch: Batch) -> Iterator[Batch]:
        rows = max(1, self.config.max_elements // (numel(model.data.shape) * self.config.chains))
        for start in range(0, len(batch), rows):
            yield batch.rows(slice(start, start + rows))

    def _tuned(self, model: VAE, batch: Batch) -> tuple[Bridge, Tensor]:
        bridge = Bridge(model, batch, self.config.start)
        chains = min(_PILOTS, self.config.chains)
        return bridge, tuned(bridge, temperatures(self.config.steps), chains, self.config.leapfrog)

    def _forward(self, bridge: Bridge, sizes: Tensor) -> tuple[Tensor, Tensor]:
        begin = bridge.draw(self.config.chains)
        return annealed(bridge, begin, temperatures(self.config.steps), sizes, self.config.leapfrog)


def _log_mean(log_weight: Tensor) -> Tensor:
    """Logarithm of the mean over the chains, `[K, B]` to `[B]`."""
    return torch.logsumexp(log_weight, 0) - math.log(len(log_weight))
