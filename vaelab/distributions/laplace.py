"""Laplace distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaelab.distributions.base import SampleShape, event_sum
from vaelab.distributions.elementwise import Elementwise

_LOG_TWO = math.log(2)


class Laplace(Elementwise):
    r"""Independent Laplace variables, $\log p(x) = -\sum_d \frac{\lvert x_d-\mu_d\rvert}{b_d} + \log 2b_d$.

    Args:
        loc: $\mu$, `[*batch, *event]`.
        log_scale: $\log b$, same shape; the standard deviation is $\sqrt2\,b$.
        event_ndim: number of event axes.
    """

    fields = ("loc", "log_scale")
    loc: Tensor
    log_scale: Tensor

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return 2 * (2 * self.log_scale).exp()

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        # a difference of exponential variables, which unlike the inverse distribution function never meets log 0
        noise = torch.empty((2, *self._shape(sample_shape)), dtype=self.loc.dtype, device=self.loc.device)
        one, two = noise.exponential_()
        return self.loc + self.log_scale.exp() * (one - two)

    def log_prob_terms(self, value: Tensor) -> Tensor:
        return -(value - self.loc).abs() * (-self.log_scale).exp() - self.log_scale - _LOG_TWO

    def entropy(self) -> Tensor:
        return event_sum(self.log_scale + (1 + _LOG_TWO), self.event_ndim)
