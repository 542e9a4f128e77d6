"""Independent Cauchy components."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaelab.distributions import Distribution, event_sum
from vaelab.distributions.base import SampleShape, TensorMap


class Cauchy(Distribution):
    r"""$p(x) = \prod_d \frac{1}{\pi b (1 + ((x_d - m_d)/b)^2)}$.

    Args:
        loc: $m$, the median, `[*batch, *event]`.
        log_scale: $\log b$, same shape.
        event_ndim: number of event axes.
    """

    def __init__(self, loc: Tensor, log_scale: Tensor, event_ndim: int) -> None:
        split = loc.ndim - event_ndim
        super().__init__(loc.shape[:split], loc.shape[split:])
        self.loc = loc
        self.log_scale = log_scale
        self.event_ndim = event_ndim

    def map(self, function: TensorMap) -> Cauchy:
        return Cauchy(function(self.loc, self.event_ndim), function(self.log_scale, self.event_ndim), self.event_ndim)

    @property
    def mean(self) -> Tensor:
        """The median: a Cauchy density has no mean, and pictures are drawn of this."""
        return self.loc

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        u = torch.rand(self._shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.log_scale.exp() * torch.tan(math.pi * (u - 0.5))

    def log_prob_terms(self, value: Tensor) -> Tensor:
        standardised = (value - self.loc) * (-self.log_scale).exp()
        return -standardised.square().log1p() - self.log_scale - math.log(math.pi)

    def log_prob(self, value: Tensor) -> Tensor:
        return event_sum(self.log_prob_terms(value), self.event_ndim)
