"""The KL whose weight is steered towards a rate."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor

from vaelab.divergences.base import Divergence, DivergenceConfig
from vaelab.inference import Trace, sample_mean
from vaelab.registry import DIVERGENCES, default
from vaelab.schedules import NonNegativeScalar, schedule
from vaelab.shared_batch import mean
from vaelab.types import BuildContext, StepContext


class ControlledKLConfig(DivergenceConfig):
    """Arguments of the controlled KL."""

    kind: Literal["controlled_kl"] = "controlled_kl"

    target: NonNegativeScalar = default(20.0)
    """C, the rate in nats that is wanted: a number or a schedule."""

    proportional: NonNegativeFloat = 0.01
    """$K_p$, how strongly the weight follows the error of this step."""

    integral: NonNegativeFloat = 0.001
    """$K_i$, how strongly it follows the sum of the errors so far."""

    least: NonNegativeFloat = 0.0
    """Least weight."""

    most: PositiveFloat = 100.0
    """Greatest weight."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"the least weight {self.least:g} is greater than the greatest, {self.most:g}")
        return self


@DIVERGENCES.register(ControlledKLConfig)
class ControlledKL(Divergence[ControlledKLConfig]):
    r"""The rate with a weight $\beta(t)$ that a PI controller sets so that the rate reaches C (Shao et al. 2020, ControlVAE).

    With the error $e(t) = C - \mathrm{KL}(t)$ of a minibatch (their equation 9 and algorithm 1),
    $$\beta(t) = \frac{K_p}{1 + \exp e(t)} - K_i \sum_{j \le t} e(j) + \beta_{\min},$$
    cut to its range; the sum stands still while the weight is at an end that the error would push beyond. The weight is
    logged, is a constant to the gradient, and its sum is part of the checkpoint. `weight` multiplies it.

    *Cost*: none beyond the rate.

    Use it to reach a wanted rate, with the weight found during training; the target has to be chosen, and gains too
    high make the rate swing about it.
    """

    def __init__(self, config: ControlledKLConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.target = schedule(config.target)
        self.sum: Tensor
        self.register_buffer("sum", torch.zeros(()))

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        return sample_mean(trace.total_rate())

    def weight_of(self, value: Tensor, context: StepContext) -> Tensor:
        config = self.config
        with torch.no_grad():
            error = self.target(context) - mean(value)
            proportional = config.proportional * torch.sigmoid(-error)
            raw = proportional - config.integral * (self.sum + error) + config.least
            if self.training:
                # anti-windup: beyond an end only an error that leads back counts
                held = ((raw > config.most) & (error < 0)) | ((raw < config.least) & (error > 0))
                self.sum.add_(torch.where(held, 0.0, error))
            return raw.clamp(config.least, config.most) * self.weight(context)
