"""The KL divergence, its constraint and its floor."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor

from vaelab.divergences.base import Divergence, DivergenceConfig
from vaelab.errors import BuildError
from vaelab.inference import Group, Trace, sample_mean
from vaelab.model import VAE
from vaelab.registry import DIVERGENCES, default
from vaelab.schedules import NonNegativeScalar, Scalar, schedule
from vaelab.shared_batch import mean
from vaelab.types import BuildContext, StepContext


class KLConfig(DivergenceConfig):
    """Arguments of the KL term."""

    kind: Literal["kl"] = "kl"

    estimator: Literal["auto", "closed", "monte_carlo", "sticking_the_landing"] = "auto"
    """`closed` refuses a pair without a closed form, `monte_carlo` never uses one, `auto` uses it where it exists;
    `sticking_the_landing` is `monte_carlo` without the score term of the posterior's gradient."""


@DIVERGENCES.register(KLConfig)
class KL(Divergence[KLConfig]):
    r"""The rate, $\sum_i \mathrm{KL}(q(z_i \mid z_{<i}, x) \,\|\, p(z_i \mid z_{<i}))$.

    With weight 1 it makes the negative ELBO (Kingma & Welling 2014), with another constant the beta-VAE (Higgins et al.
    2017), with a schedule the warm-up of Sønderby et al. (2016). Sticking the landing (Roeder et al. 2017) leaves out a
    term of expectation zero, so that at the exact posterior the gradient has no noise.

    *Cost*: next to none in closed form; by Monte Carlo two log-densities a draw.

    Use it as the first choice: with weight 1 the objective is the bound. Larger weights disentangle at the cost of
    detail, smaller ones reconstruct at the cost of samples.
    """

    def check(self, model: VAE, trace: Trace) -> None:
        if self.config.estimator != "closed":
            return
        for i, group in enumerate(trace.groups):
            if group.closed_rate() is None:
                raise BuildError(
                    f"divergence '{self.name}' wants the KL in closed form, and there is none between posterior "
                    f"'{model.posterior.config.kind}' and prior '{model.prior.config.kind}' (latent group {i}). "
                    'Use "estimator": "auto" or "monte_carlo".'
                )

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        return sample_mean(self._rate(trace))

    def _rate(self, trace: Trace) -> Tensor:
        if self.config.estimator == "monte_carlo":
            return trace.log_px - trace.log_weight
        if self.config.estimator == "sticking_the_landing":
            rates = [_stopped_log_q(group) - group.log_p for group in trace.groups]
            return torch.stack(rates).sum(0)
        return trace.total_rate()


def _stopped_log_q(group: Group) -> Tensor:
    """log q at the draw, its parameters constants: the gradient flows through the draw alone."""
    return group.log_q if group.q is None else group.q.detached().log_prob(group.z)


class CapacityConfig(DivergenceConfig):
    """Arguments of the capacity constraint."""

    kind: Literal["capacity"] = "capacity"

    weight: Scalar = default(100.0)
    """Gamma: a number or a schedule."""

    capacity: NonNegativeScalar = default({"kind": "linear", "start": 0.0, "end": 25.0})
    """C in nats: a number or a schedule."""

    group: NonNegativeInt | None = None
    """The latent group whose rate is held, in the order in which they are drawn; null for the rate of all together."""


@DIVERGENCES.register(CapacityConfig)
class Capacity(Divergence[CapacityConfig]):
    r"""The rate held at a capacity that grows, $\lvert \mathrm{KL} - C\rvert$ (Burgess et al. 2018, equation 8).

    With one term for the continuous and one for the discrete group it is JointVAE's objective (Dupont 2018, equation 7).

    *Cost*: none beyond the rate.

    Use it to set the rate directly instead of searching for a weight of the KL; the final capacity has to be chosen,
    and a strong weight makes the loss jagged around it.
    """

    def __init__(self, config: CapacityConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.capacity = schedule(config.capacity)
        if config.group is not None and config.group >= context.latent.depth:
            raise BuildError(
                f"divergence 'capacity' holds the rate of latent group {config.group}, and {context.names['prior']} has "
                f'{context.latent.depth}, counted from 0. Lower "group", or leave it out for all together.'
            )

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        # the constraint is on the expected rate, so the absolute value comes after the mean over the batch
        group = self.config.group
        rate = (trace.total_rate() if group is None else trace.rate(group)).mean(0)
        gap = (mean(rate) - self.capacity(context)).abs()
        return gap.expand_as(rate)


class FreeBitsConfig(DivergenceConfig):
    """Arguments of free bits."""

    kind: Literal["free_bits"] = "free_bits"

    nats: PositiveFloat = 0.5
    """Lambda: nats a latent group gets for free."""


@DIVERGENCES.register(FreeBitsConfig)
class FreeBits(Divergence[FreeBitsConfig]):
    r"""A rate that below $\lambda$ nats costs the same, $\sum_i \max(\lambda, \mathbb{E}_x \mathrm{KL}_i)$.

    Kingma et al. (2016, equation 15), with one subset a latent group; the mean is over the minibatch.

    *Cost*: none beyond the rate.

    Use it against collapse in hierarchies and with strong decoders; below the floor the KL has no gradient, so rates
    tend to stop right at it, and the loss is then no bound.
    """

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        rates = [mean(trace.rate(i), 1) for i in range(len(trace.groups))]
        total = torch.stack(rates).clamp_min(self.config.nats).sum()
        return total.expand(len(trace.batch))
