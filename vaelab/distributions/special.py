"""Bessel functions, and the derivative of a draw by its parameter where the distribution function has no inverse."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# The uniform expansion is used from this order on, where its first omitted term is below 1e-9.
_DEBYE_FROM = 40.0
# Nats below the density at the draw from which on its tail does not count.
_TAIL = 40.0


def _debye(order: float, x: Tensor) -> Tensor:
    r"""$\log e^{-x} I_\mu(x)$ for a large order, uniformly in x > 0 (Abramowitz & Stegun 1964, 9.7.7)."""
    s = (x.square() + order**2).sqrt()
    p = order / s
    q = p.square()
    terms = (
        p * (3 - 5 * q) / 24,
        q * (81 + q * (-462 + 385 * q)) / 1152,
        p * q * (30375 + q * (-369603 + q * (765765 - 425425 * q))) / 414720,
        q.square() * (4465125 + q * (-94121676 + q * (349922430 + q * (-446185740 + 185910725 * q)))) / 39813120,
    )
    series = torch.zeros_like(x)
    for term in reversed(terms):
        series = (series + term) / order
    exponent = order**2 / (s + x) + order * (x / (order + s)).log()
    return exponent - 0.5 * (2 * torch.pi * s).log() + torch.log1p(series)


def _bessel(order: float, x: Tensor) -> tuple[Tensor, Tensor]:
    r"""$\log e^{-x} I_\nu(x)$ and $I_{\nu+1}(x)/I_\nu(x)$, float64, for $\nu \ge 0$ and x > 0.

    The recurrence $r_{\mu-1} = 1/(2\mu/x + r_\mu)$ of the ratios is stable downwards (Amos 1974), so it starts from an
    order that is large enough for the uniform expansion, and the ratios' product leads back to the function itself.
    """
    x = x.double()
    top = order + max(0, int(np.ceil(_DEBYE_FROM - order)))
    log_bessel = _debye(top, x)
    ratio = (_debye(top + 1, x) - log_bessel).exp()
    while top > order:
        ratio = 1 / (2 * top / x + ratio)
        log_bessel = log_bessel - ratio.log()
        top -= 1
    return log_bessel, ratio


class _LogBessel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, order: float) -> Tensor:
        value, ratio = _bessel(order, x)
        ctx.save_for_backward(ratio + order / x.double() - 1)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None


class _BesselRatio(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, order: float) -> Tensor:
        ratio = _bessel(order, x)[1]
        ctx.save_for_backward(1 - ratio.square() - (2 * order + 1) / x.double() * ratio)
        return ratio

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None


def log_bessel_i_scaled(order: float, x: Tensor) -> Tensor:
    r"""$\log\big(e^{-x} I_\nu(x)\big)$ for x > 0, float64 whatever the input, once differentiable."""
    value: Tensor = _LogBessel.apply(x.double(), order)
    return value


def bessel_ratio(order: float, x: Tensor) -> Tensor:
    r"""$I_{\nu+1}(x) / I_\nu(x)$ for x > 0, float64 whatever the input, once differentiable."""
    value: Tensor = _BesselRatio.apply(x.double(), order)
    return value


@cache
def _nodes(number: int = 64) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss and Legendre on [0, 1], float64."""
    nodes, weights = np.polynomial.legendre.leggauss(number)
    return torch.from_numpy(0.5 * (nodes + 1)), torch.from_numpy(0.5 * weights)


def edge_of_mass(log_density: Callable[[Tensor], Tensor], start: Tensor, end: Tensor) -> Tensor:
    """The point between `start` and `end` beyond which a unimodal density is negligible against that at `start`."""
    level = log_density(start) - _TAIL
    inside, outside = start, end
    for _ in range(30):
        middle = 0.5 * (inside + outside)
        counts = log_density(middle) >= level
        inside, outside = torch.where(counts, middle, inside), torch.where(counts, outside, middle)
    return outside


def quadrature(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The 64 nodes `[64, *shape]` between tensors of limits, and the logarithms of their weights."""
    nodes, weights = (tensor.to(low.device).reshape(-1, *(1 for _ in range(low.ndim))) for tensor in _nodes())
    return low + (high - low) * nodes, weights.log() + (high - low).log()


def implicit_slope(
    value: Tensor,
    log_density: Callable[[Tensor], Tensor],
    statistic: Callable[[Tensor], Tensor],
    mean: Tensor,
    low: Tensor,
    high: Tensor,
) -> Tensor:
    r"""The derivative of a draw by the natural parameter of its one-dimensional exponential family.

    For $f(t) \propto e^{\kappa T(t)} h(t)$ with a decreasing statistic T, a draw held at its quantile moves by

    $$\frac{dt}{d\kappa} = -\frac{1}{f(t)}\int_{low}^{t} (T(s) - \mathbb{E}T)\, f(s)\, ds$$

    (implicit reparametrisation, Figurnov et al. 2018, equation 6). Below the mean of T the same integral is taken from the
    other side, so that the integrand has one sign on each side and nothing cancels.

    Args:
        value: t, float64.
        log_density: $\log f$ up to a constant, unimodal.
        statistic: T.
        mean: $\mathbb{E}T$.
        low: the least value.
        high: the largest.
    """
    with torch.no_grad():
        near = statistic(value) >= mean
        end = edge_of_mass(log_density, value, torch.where(near, low, high))
        reference = log_density(value)

        t, log_width = quadrature(torch.where(near, end, value), torch.where(near, value, end))
        integral = ((statistic(t) - mean) * (log_density(t) - reference + log_width).exp()).sum(0)
        return torch.where(near, -integral, integral)
