"""The variational Renyi bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import PositiveInt

from vaelab.objectives.base import MODEL, Loss, Objective, ObjectiveConfig
from vaelab.objectives.bounds import iwae_bound, terms
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, StepContext

if TYPE_CHECKING:
    from vaelab.model import VAE


class RenyiConfig(ObjectiveConfig):
    """Arguments of the variational Renyi bound."""

    kind: Literal["renyi"] = "renyi"

    samples: PositiveInt = 5
    """K, importance samples a datum."""

    alpha: float | Literal["max"] = 0.5
    """Order: 1 is the ELBO, 0 is IWAE; `max` takes the largest weight alone (VR-max)."""


@OBJECTIVES.register(RenyiConfig)
class Renyi(Objective[RenyiConfig]):
    r"""$-\frac{1}{1-\alpha}\log\frac1K\sum_k w_k^{1-\alpha}$ (Li & Turner 2016, equation 7).

    Non-increasing in alpha: for alpha > 0 a lower bound of $\log p(x)$ in expectation as K grows, for alpha < 0 an upper
    one.

    *Cost*: K passes of the decoder and one of the encoder.

    Use it to choose between mass-covering posteriors (alpha below 0) and mode-seeking ones (above 1); estimates from
    few samples are biased, and far from alpha 1 gradients are noisy.
    """

    def forward(self, model: VAE, batch: Batch, context: StepContext) -> dict[str, Loss]:
        trace = model.infer(batch, self.config.samples)
        log_weight, alpha = trace.log_weight, self.config.alpha
        if alpha == "max":
            loss = -log_weight.max(0).values
        elif alpha == 1:
            loss = -log_weight.mean(0)
        else:
            loss = -iwae_bound((1 - alpha) * log_weight) / (1 - alpha)
        return {MODEL: Loss(loss, terms(trace, loss, log_weight))}
