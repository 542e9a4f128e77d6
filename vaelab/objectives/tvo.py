"""The thermodynamic variational objective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from vaelab.objectives.base import MODEL, Loss, Objective, ObjectiveConfig
from vaelab.objectives.bounds import terms
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, StepContext

if TYPE_CHECKING:
    from vaelab.model import VAE


class TvoConfig(ObjectiveConfig):
    """Arguments of the thermodynamic objective."""

    kind: Literal["tvo"] = "tvo"

    samples: PositiveInt = Field(default=10, ge=2)
    """S, importance samples a datum."""

    partitions: PositiveInt = 5
    """Number of intervals of [0, 1]; one is the ELBO."""

    smallest: float = Field(default=0.025, gt=0, lt=1)
    """The first point after 0; the others follow at equal distances of their logarithms."""


@OBJECTIVES.register(TvoConfig)
class Tvo(Objective[TvoConfig]):
    r"""The left Riemann sum of the thermodynamic integral, $-\sum_k (\beta_{k+1}-\beta_k)\,\mathbb{E}_{\pi_{\beta_k}}[\log w]$.

    Masrani et al. (2019, equation 8): $\log p(x) = \int_0^1 \mathbb{E}_{\pi_\beta}[\log w]\,d\beta$ along
    $\pi_\beta \propto q^{1-\beta}p^\beta$, a lower bound since the integrand rises. The gradient is their covariance
    estimator (equation 10), for which the draws are constants, so that discrete latents are allowed too.

    *Cost*: S passes of the decoder and one of the encoder; the partition costs nothing.

    Use it for discrete latents, or where reparametrisation is biased; the placement of the partition matters, and with
    continuous latents `iwae` or `dreg` have less noise.
    """

    pathwise = False

    def points(self) -> Tensor:
        """$\\beta_0 = 0 < \\beta_1 < \\dots < \\beta_P = 1$."""
        inner = torch.logspace(torch.tensor(self.config.smallest).log10().item(), 0, self.config.partitions)
        inner = inner if self.config.partitions > 1 else torch.ones(1)
        return torch.cat([torch.zeros(1), inner])

    def forward(self, model: VAE, batch: Batch, context: StepContext) -> dict[str, Loss]:
        trace = model.infer(batch, self.config.samples, pathwise=False)
        log_q = torch.stack([group.log_q for group in trace.groups]).sum(0)
        log_weight = trace.log_weight
        log_p = log_weight + log_q
        points = self.points().to(log_weight)
        widths = (points[1:] - points[:-1])[:, None]
        beta = points[:-1, None, None]
        weights = (beta * log_weight.detach()).softmax(1)  # [P, S, B]
        mean = (weights * log_weight).sum(1)
        energy = beta * log_p + (1 - beta) * log_q
        centred = log_weight.detach() - mean.detach().unsqueeze(1)
        covariance = (weights * centred * (energy - (weights * energy).sum(1, keepdim=True))).sum(1)
        samples = self.config.samples
        surrogate = -(widths * (mean + samples / (samples - 1) * covariance)).sum(0)
        bound = -(widths * mean).sum(0).detach()
        return {MODEL: Loss(surrogate, terms(trace, bound, log_weight))}
