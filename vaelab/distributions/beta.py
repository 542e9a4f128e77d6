"""Beta distribution of grey levels."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Beta as TorchBeta

from vaelab.distributions.base import SampleShape, TensorMap
from vaelab.distributions.elementwise import Elementwise


class Beta(Elementwise):
    r"""Independent beta components of grey levels that may be 0 or 1 exactly.

    The beta density is infinite or zero at its ends, so the L levels are moved to the middles of L equal bins,
    $y = \frac{(L-1)x + 1/2}{L}$ (Smithson & Verkuilen 2006), and
    $\log p(x) = \sum_d (\alpha_d-1)\log y_d + (\beta_d-1)\log(1-y_d) - \log B(\alpha_d,\beta_d) + \log\frac{L-1}{L}$.
    That is a density of x, whose support reaches half a bin beyond [0, 1].

    Args:
        alpha: $\alpha$, positive, `[*batch, *event]`.
        beta: $\beta$, same shape.
        levels: L.
        event_ndim: number of event axes.
    """

    fields = ("alpha", "beta")
    alpha: Tensor
    beta: Tensor

    def __init__(self, alpha: Tensor, beta: Tensor, levels: int = 256, event_ndim: int = 1) -> None:
        super().__init__(alpha, beta, event_ndim=event_ndim)
        self.levels = levels

    def map(self, function: TensorMap) -> Beta:
        n = self.event_ndim
        return Beta(function(self.alpha, n), function(self.beta, n), self.levels, n)

    def _spread(self, y: Tensor) -> Tensor:
        """From the middles of the bins back to levels in [0, 1]."""
        return (self.levels * y - 0.5) / (self.levels - 1)

    @property
    def mean(self) -> Tensor:
        return self._spread(self.alpha / (self.alpha + self.beta))

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        # torch's own draw: it has the pathwise gradient of a gamma
        beta = TorchBeta(self.alpha, self.beta, validate_args=False)
        return self._spread(beta.rsample(torch.Size(sample_shape)))

    def log_prob_terms(self, value: Tensor) -> Tensor:
        y = ((self.levels - 1) * value + 0.5) / self.levels
        log_beta = torch.lgamma(self.alpha) + torch.lgamma(self.beta) - torch.lgamma(self.alpha + self.beta)
        density = torch.xlogy(self.alpha - 1, y) + torch.special.xlog1py(self.beta - 1, -y)
        return density - log_beta + math.log((self.levels - 1) / self.levels)
