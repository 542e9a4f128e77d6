"""The variational Renyi bound."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from vaelab.objectives.base import MODEL
from vaelab.objectives.bounds import Bound, ImportanceWeighted, ImportanceWeightedConfig, iwae_bound
from vaelab.registry import OBJECTIVES


class RenyiConfig(ImportanceWeightedConfig):
    """Arguments of the variational Renyi bound."""

    kind: Literal["renyi"] = "renyi"

    samples: PositiveInt = 5
    """K, importance samples a datum."""

    alpha: float | Literal["max"] = 0.5
    """Order: 1 is the ELBO, 0 is IWAE; `max` takes the largest weight alone (VR-max)."""


@OBJECTIVES.register(RenyiConfig)
class Renyi(ImportanceWeighted[RenyiConfig]):
    r"""$-\frac{1}{1-\alpha}\log\frac1K\sum_k w_k^{1-\alpha}$ (Li & Turner 2016, equation 7).

    Non-increasing in alpha: for alpha > 0 a lower bound of $\log p(x)$ in expectation as K grows, for alpha < 0 an upper
    one.

    *Cost*: K passes of the decoder and one of the encoder.

    Use it to choose between mass-covering posteriors (alpha below 0) and mode-seeking ones (above 1); estimates from
    few samples are biased, and far from alpha 1 gradients are noisy.
    """

    def bounds(self) -> dict[str, Bound]:
        alpha = self.config.alpha
        if alpha == "max":
            return {
                MODEL: Bound(lambda w: w.max(0).values, lambda w: torch.zeros_like(w).scatter(0, w.argmax(0, True), 1))
            }
        if alpha == 1:
            return {MODEL: Bound(lambda w: w.mean(0), lambda w: torch.full_like(w, 1 / w.shape[0]))}

        def value(log_weight: Tensor) -> Tensor:
            return iwae_bound((1 - alpha) * log_weight) / (1 - alpha)

        return {MODEL: Bound(value, lambda log_weight: ((1 - alpha) * log_weight).softmax(0))}
