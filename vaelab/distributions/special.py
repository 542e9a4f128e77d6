"""Bessel functions, and the derivative of a draw by its parameter where the distribution function has no inverse."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# The uniform expansion is used from this order on, where its first omitted term is below 1e-9.
_DEBYE_FROM = 40.0
# A ratio is no less than about x / 2 nu, and eight of them make no product that underflows.
_STEPS_A_LOGARITHM = 8
# Halvings of the angle or radius that is searched for the end of the mass; to overshoot it a little costs nothing.
_HALVINGS = 16
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
    top = order + max(0, int(np.ceil(_DEBYE_FROM - order)))
    log_bessel = _debye(top, x)
    ratio = (_debye(top + 1, x) - log_bessel).exp()
    twice = 2 / x
    product = torch.ones_like(x)
    steps = 0
    while top > order:
        ratio = torch.add(ratio, twice, alpha=top).reciprocal_()
        product.mul_(ratio)
        top -= 1
        steps += 1
        if steps % _STEPS_A_LOGARITHM == 0 or top <= order:
            log_bessel = log_bessel - product.log()
            product.fill_(1.0)
    return log_bessel, ratio


class _Bessel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, order: float, known: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        value, ratio = (number.clone() for number in known)
        ctx.save_for_backward(x, ratio)
        ctx.order = order
        return value, ratio

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_value: Tensor, of_ratio: Tensor) -> tuple[Tensor, None, None]:
        x, ratio = ctx.saved_tensors
        slope = 1 - ratio.square() - (2 * ctx.order + 1) / x * ratio
        return of_value * (ratio + ctx.order / x - 1) + of_ratio * slope, None, None


class BesselI:
    r"""$\log\big(e^{-x} I_\nu(x)\big)$ and $I_{\nu+1}(x) / I_\nu(x)$ for x > 0, float64, once differentiable.

    The numbers are found once: some forty steps of a recurrence, for which a step of a training asks three times.

    Args:
        order: $\nu \ge 0$.
        x: positive.
    """

    def __init__(self, order: float, x: Tensor) -> None:
        self.order = order
        self.x = x

    @cached_property
    def _known(self) -> tuple[Tensor, Tensor]:
        return _bessel(self.order, self.x.detach().double())

    def __call__(self) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = _Bessel.apply(self.x.double(), self.order, self._known)
        return found


@cache
def _nodes(number: int = 64) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss and Legendre on [0, 1], float64."""
    nodes, weights = np.polynomial.legendre.leggauss(number)
    return torch.from_numpy(0.5 * (nodes + 1)), torch.from_numpy(0.5 * weights)


def edge_of_mass(log_density: Callable[[Tensor], Tensor], start: Tensor, end: Tensor) -> Tensor:
    """The point between `start` and `end` beyond which a unimodal density is negligible against that at `start`."""
    level = log_density(start) - _TAIL
    inside, outside = start, end
    for _ in range(_HALVINGS):
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
