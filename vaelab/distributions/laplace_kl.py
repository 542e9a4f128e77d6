"""KL divergences from Laplace distributions."""

from __future__ import annotations

import math

from torch import Tensor
from torch.distributions import register_kl

from vaelab.distributions.base import event_sum
from vaelab.distributions.laplace import Laplace
from vaelab.distributions.normal import DiagonalNormal

_LOG_TWO = math.log(2)


@register_kl(Laplace, DiagonalNormal)
def kl_laplace_normal(q: Laplace, p: DiagonalNormal) -> Tensor:
    r"""$\sum_d \frac{2b^2 + (\mu_q-\mu_p)^2}{2\sigma^2} + \frac12\log 2\pi\sigma^2 - 1 - \log 2b$."""
    square = (2 * (2 * q.log_scale).exp() + (q.loc - p.loc).square()) / p.scale.square()
    cross = 0.5 * (square + math.log(2 * math.pi)) + p.log_scale
    return event_sum(cross - q.log_scale - (1 + _LOG_TWO), q.event_ndim)


@register_kl(Laplace, Laplace)
def kl_laplace_laplace(q: Laplace, p: Laplace) -> Tensor:
    r"""$\sum_d \frac{b_q e^{-\lvert\Delta\rvert/b_q} + \lvert\Delta\rvert}{b_p} + \log\frac{b_p}{b_q} - 1$, with
    $\Delta = \mu_q - \mu_p$."""
    gap = (q.loc - p.loc).abs()
    log_ratio = q.log_scale - p.log_scale
    tail = log_ratio.exp() * (-gap * (-q.log_scale).exp()).exp()
    return event_sum(tail + gap * (-p.log_scale).exp() - log_ratio - 1, q.event_ndim)
