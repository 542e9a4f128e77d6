"""Gamma distribution of positive latents."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import register_kl

from vaelab.distributions.base import SampleShape, event_sum
from vaelab.distributions.elementwise import Elementwise


class Gamma(Elementwise):
    r"""Independent gamma variables, $\log p(z) = \sum_d a_d\log b_d + (a_d-1)\log z_d - b_d z_d - \log\Gamma(a_d)$.

    Draws have the implicit reparametrised gradient (Figurnov et al. 2018).

    Args:
        concentration: a, positive, `[*batch, *event]`.
        rate: b, positive, same shape.
        event_ndim: number of event axes.
    """

    fields = ("concentration", "rate")
    concentration: Tensor
    rate: Tensor

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate.square()

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        shape = self._shape(sample_shape)
        # of a small concentration draws underflow, and log 0 would be their density
        draws = torch._standard_gamma(self.concentration.expand(shape)) / self.rate
        return draws.clamp_min(torch.finfo(draws.dtype).tiny)

    def log_prob_terms(self, value: Tensor) -> Tensor:
        a, b = self.concentration, self.rate
        return torch.xlogy(a, b) + torch.xlogy(a - 1, value) - b * value - torch.lgamma(a)

    def entropy(self) -> Tensor:
        a, b = self.concentration, self.rate
        return event_sum(a - b.log() + torch.lgamma(a) + (1 - a) * torch.digamma(a), self.event_ndim)


@register_kl(Gamma, Gamma)
def kl_gamma_gamma(q: Gamma, p: Gamma) -> Tensor:
    r"""$\sum_d (a_q-a_p)\psi(a_q) - \log\Gamma(a_q) + \log\Gamma(a_p) + a_p\log\frac{b_q}{b_p} + a_q\frac{b_p-b_q}{b_q}$."""
    a, b, c, d = q.concentration, q.rate, p.concentration, p.rate
    terms = (a - c) * torch.digamma(a) - torch.lgamma(a) + torch.lgamma(c) + c * (b / d).log() + a * (d - b) / b
    return event_sum(terms, q.event_ndim)
