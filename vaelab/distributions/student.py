"""Student's t distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaelab.distributions.base import SampleShape
from vaelab.distributions.elementwise import Elementwise


class StudentT(Elementwise):
    r"""Independent components of Student's t distribution, heavier in the tails than a normal.

    $$\log p(x) = \sum_d \log\frac{\Gamma(\frac{\nu+1}2)}{\Gamma(\frac\nu2)\sqrt{\nu\pi}\,\sigma}
    - \tfrac{\nu+1}{2}\log\Bigl(1 + \tfrac{(x-\mu)^2}{\nu\sigma^2}\Bigr)$$

    Args:
        loc: $\mu$, `[*batch, *event]`.
        log_scale: $\log\sigma$, same shape; the standard deviation is larger.
        df: degrees of freedom $\nu$, same shape. The mean exists above 1.
        event_ndim: number of event axes.
    """

    fields = ("loc", "log_scale", "df")
    loc: Tensor
    log_scale: Tensor
    df: Tensor

    @property
    def mean(self) -> Tensor:
        return self.loc

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        shape = self._shape(sample_shape)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        df = self.df.expand(shape)
        precision = torch._standard_gamma(0.5 * df) / (0.5 * df)
        return self.loc + self.log_scale.exp() * noise * precision.rsqrt()

    def log_prob_terms(self, value: Tensor) -> Tensor:
        standardised = (value - self.loc) * (-self.log_scale).exp()
        half = 0.5 * (self.df + 1)
        normaliser = torch.lgamma(half) - torch.lgamma(0.5 * self.df) - 0.5 * (self.df * math.pi).log() - self.log_scale
        return normaliser - half * torch.log1p(standardised.square() / self.df)
