"""The distribution whose negative logarithm is the log-cosh loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from vaelab.distributions.base import SampleShape, TensorMap
from vaelab.distributions.elementwise import Elementwise


class LogCosh(Elementwise):
    r"""The density behind the log-cosh loss, $\log p(x) = -\sum_d \frac1a\log\cosh a(x_d-\mu_d) + \log Z$.

    Quadratic near $\mu$ and linear far from it. With $\nu = 1/a$ the normaliser is
    $Z = \frac{\sqrt\pi}{a}\,\Gamma(\frac\nu2) / \Gamma(\frac{\nu+1}2)$, from $\int \cosh^{-\nu} u\,du$. The loss is
    that of Chen et al. (2019); the normaliser, which makes it a density in nats, is added here.

    Args:
        loc: $\mu$, `[*batch, *event]`.
        sharpness: a; the larger, the nearer to a Laplace distribution of scale 1.
        event_ndim: number of event axes.
    """

    fields = ("loc",)
    loc: Tensor

    def __init__(self, loc: Tensor, sharpness: float = 10.0, event_ndim: int = 1) -> None:
        super().__init__(loc, event_ndim=event_ndim)
        self.sharpness = sharpness
        nu = 1 / sharpness
        self.log_normaliser = (
            0.5 * math.log(math.pi) - math.log(sharpness) + math.lgamma(nu / 2) - math.lgamma((nu + 1) / 2)
        )

    def map(self, function: TensorMap) -> LogCosh:
        return LogCosh(function(self.loc, self.event_ndim), self.sharpness, self.event_ndim)

    @property
    def mean(self) -> Tensor:
        return self.loc

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        r"""$\tanh a(x-\mu) = 2B-1$ with $B$ of a symmetric beta distribution, drawn as two gammas."""
        half = 0.5 / self.sharpness
        shape = (2, *self._shape(sample_shape))
        # Gamma(k) for small k underflows; its logarithm is that of Gamma(k + 1) and of a uniform to the power 1/k
        gamma = torch._standard_gamma(self.loc.new_full(shape, half + 1)).log()
        log_gamma = gamma - self.loc.new_empty(shape).exponential_() / half
        return self.loc + (log_gamma[0] - log_gamma[1]) / (2 * self.sharpness)

    def log_prob_terms(self, value: Tensor) -> Tensor:
        scaled = (self.sharpness * (value - self.loc)).abs()
        # log cosh without overflow
        log_cosh = scaled + F.softplus(-2 * scaled) - math.log(2)
        return -log_cosh / self.sharpness - self.log_normaliser
