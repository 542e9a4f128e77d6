"""Distributions of pixels, parametrised by logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vaelab.distributions.base import Distribution, SampleShape, TensorMap, event_sum

# Below this |logit| the closed forms of the continuous Bernoulli cancel in float32, and their series is exact to 1e-7.
_SERIES = 0.3
# The inverse distribution function cancels much later.
_SAMPLE_SERIES = 1e-3


class Bernoulli(Distribution):
    r"""Independent bits, $\log p(x) = \sum_d x_d\log\pi_d + (1-x_d)\log(1-\pi_d)$.

    The same expression is used for grey levels in [0, 1], where it is a cross-entropy and no density.

    Args:
        logits: $\log\frac{\pi}{1-\pi}$, `[*batch, *event]`.
        event_ndim: number of event axes.
    """

    has_rsample = False

    def __init__(self, logits: Tensor, event_ndim: int = 1) -> None:
        split = logits.ndim - event_ndim
        super().__init__(logits.shape[:split], logits.shape[split:])
        self.logits = logits
        self.event_ndim = event_ndim

    def map(self, function: TensorMap) -> Bernoulli:
        return type(self)(function(self.logits, self.event_ndim), self.event_ndim)

    @property
    def mean(self) -> Tensor:
        return self.logits.sigmoid()

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            return torch.bernoulli(self.logits.sigmoid().expand(self._shape(sample_shape)))

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        raise NotImplementedError("bits have no pathwise gradient; use sample()")

    def log_prob_terms(self, value: Tensor) -> Tensor:
        return -self._cross_entropies(value)

    def log_prob(self, value: Tensor) -> Tensor:
        if self.logits.device.type == "cpu" and not value.requires_grad and not torch.compiler.is_compiling():
            # a product of many factors needs the digits of the data's type, which autocast may have taken away
            logits = self.logits.to(value.dtype)
            if not (logits.requires_grad and torch.is_grad_enabled()):
                return _bernoulli_by_products(logits, value, self.event_ndim)
            if logits.numel() >= _MANY:
                scored: Tensor = _ByProducts.apply(logits, value, self.event_ndim)
                return scored
        # the sign is changed after the sum, which leaves out two passes over the pixels
        return -event_sum(self._cross_entropies(value), self.event_ndim)

    def _cross_entropies(self, value: Tensor) -> Tensor:
        if value.shape != self.logits.shape:
            value = value.expand_as(self.logits)
        return F.binary_cross_entropy_with_logits(self.logits, value, reduction="none")


#: Factors in [1/2, 1] multiplied before a logarithm is taken: 2^-112 is above the least that float32 holds exactly.
_FACTORS = 112
#: Pixels, from which their logarithms cost more than a gradient that is written in Python.
_MANY = 2**16


class _ByProducts(torch.autograd.Function):
    """The score of bits with its gradient, $x - \\sigma(\\ell)$, on a CPU: log1p would take most of the time of both."""

    @staticmethod
    def forward(context: Any, logits: Tensor, value: Tensor, event_ndim: int) -> Tensor:
        context.save_for_backward(logits, value)
        context.event_ndim = event_ndim
        return _bernoulli_by_products(logits, value, event_ndim)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        logits, value = context.saved_tensors
        gradient = gradient.reshape(*gradient.shape, *(1 for _ in range(context.event_ndim)))
        if torch.is_grad_enabled():  # somebody differentiates the gradient
            return (value - logits.sigmoid()) * gradient, None, None
        return logits.sigmoid().sub_(value).mul_(-gradient), None, None


def _bernoulli_by_products(logits: Tensor, value: Tensor, event_ndim: int) -> Tensor:
    r"""$\sum_d (x_d - \tfrac12)\ell_d - \tfrac12\lvert\ell_d\rvert + \log\sigma(\lvert\ell_d\rvert)$, `[*batch]`.

    The last term is the logarithm of a product, taken of some factors at a time; a logarithm a pixel would take longer than the
    rest. Sums and products of float32 differ from those of `binary_cross_entropy_with_logits` by rounding alone.
    """
    if event_ndim == 0:
        logits, value, event_ndim = logits.unsqueeze(-1), value.unsqueeze(-1), 1
    logits, value = logits.flatten(-event_ndim), value.flatten(-event_ndim)
    size = logits.abs()
    centred = value - 0.5
    one = centred.numel() == centred.shape[-1]  # many samples for one datum: a matrix times a vector, in one pass
    linear = logits @ centred.flatten() if one else torch.linalg.vecdot(logits, centred)
    linear.sub_(size.sum(-1), alpha=0.5)
    factors = size.sigmoid_()  # in place, so that what is worked on stays in the cache
    whole = factors.shape[-1] // _FACTORS * _FACTORS
    if whole:
        linear += factors[..., :whole].unflatten(-1, (-1, _FACTORS)).prod(-1).log_().sum(-1)
    if whole < factors.shape[-1]:
        linear += factors[..., whole:].prod(-1).log_()
    return linear


class ContinuousBernoulli(Bernoulli):
    r"""Density on [0, 1] proportional to $\pi^x(1-\pi)^{1-x}$ (Loaiza-Ganem & Cunningham 2019, equation 5).

    With the logit $\ell$, the normaliser is $C = \frac{\ell}{\tanh(\ell/2)}$, so that
    $\log p(x) = \log C + x\log\pi + (1-x)\log(1-\pi)$. Near $\ell = 0$ its series is used.
    """

    has_rsample = True

    def _away_from_zero(self, bound: float = _SERIES) -> tuple[Tensor, Tensor]:
        small = self.logits.abs() < bound
        return small, torch.where(small, torch.ones_like(self.logits), self.logits)

    def log_normaliser(self) -> Tensor:
        """$\\log C$ of each pixel, the shape of `logits`."""
        small, logits = self._away_from_zero()
        exact = torch.log(logits.abs() / torch.tanh(logits.abs() / 2))
        square = self.logits.square()
        series = 0.6931471805599453 + square / 12 - 7 * square.square() / 1440 + 31 * square**3 / 90720
        return torch.where(small, series, exact)

    @property
    def mean(self) -> Tensor:
        small, logits = self._away_from_zero()
        # by symmetry, so that no exponential overflows
        positive = logits.abs()
        mean = 1 / -torch.expm1(-positive) - 1 / positive
        exact = torch.where(logits > 0, mean, 1 - mean)
        cube = self.logits.square() * self.logits
        return torch.where(small, 0.5 + self.logits / 12 - cube / 720 + cube * self.logits.square() / 30240, exact)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        """By the inverse distribution function, $x = \\log(1 + u(e^\\ell - 1))/\\ell$."""
        u = torch.rand(self._shape(sample_shape), dtype=self.logits.dtype, device=self.logits.device)
        small, logits = self._away_from_zero(_SAMPLE_SERIES)
        # the positive branch would overflow; by symmetry it is one minus the draw of the negative logit
        negative = -logits.abs()
        draw = torch.log1p(u * torch.expm1(negative)) / negative
        draw = torch.where(logits > 0, 1 - draw, draw)
        near = u + 0.5 * self.logits * u * (1 - u)
        return torch.where(small, near, draw).clamp(0, 1)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        return Distribution.sample(self, sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return event_sum(self.log_prob_terms(value), self.event_ndim)

    def log_prob_terms(self, value: Tensor) -> Tensor:
        return super().log_prob_terms(value) + self.log_normaliser()
