"""The importance-weighted bound."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import PositiveInt

from vaelab.objectives.base import MODEL, Loss, Objective, ObjectiveConfig
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, StepContext

if TYPE_CHECKING:
    from vaelab.model import VAE


class IwaeConfig(ObjectiveConfig):
    """Arguments of the importance-weighted bound."""

    kind: Literal["iwae"] = "iwae"

    samples: PositiveInt = 5
    """K, importance samples a datum."""


@OBJECTIVES.register(IwaeConfig)
class Iwae(Objective[IwaeConfig]):
    r"""The importance-weighted bound, $-\log\frac1K\sum_k \frac{p(x, z_k)}{q(z_k \mid x)}$.

    Burda et al. (2016, equation 8), with the plain reparametrised gradient. With K = 1 it is the negative ELBO whose KL
    is estimated by Monte Carlo. The bound is no sum of terms, so it takes no divergences.
    """

    def forward(self, model: VAE, batch: Batch, context: StepContext) -> dict[str, Loss]:
        trace = model.infer(batch, self.config.samples)
        log_weight = trace.log_weight
        loss = math.log(self.config.samples) - torch.logsumexp(log_weight, 0)
        distortion = -trace.log_px.mean(0)
        terms = {
            "loss": loss,
            "negative_elbo": -log_weight.mean(0),
            "distortion": distortion,
            "kl": -log_weight.mean(0) - distortion,
        }
        return {MODEL: Loss(loss, terms)}
