"""Independent bits as latents, and their binary concrete relaxation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import register_kl
from torch.nn import functional as F

from vaelab.distributions.base import Distribution, SampleShape, TensorMap, event_sum


class Bits(Distribution):
    r"""Independent bits, $\log p(z) = \sum_d z_d\ell_d - \log(1 + e^{\ell_d})$.

    The same expression, which is linear in z, is used for relaxed bits between 0 and 1. There it is no density, see
    `OneHot`. It has a class of its own beside the likelihood `Bernoulli`, because that one's subclass over grey levels
    would inherit the KL.

    Args:
        logits: $\ell = \log\frac{\pi}{1-\pi}$, `[*batch, *event]`.
        event_ndim: number of event axes.
    """

    has_rsample = False

    def __init__(self, logits: Tensor, event_ndim: int = 1) -> None:
        split = logits.ndim - event_ndim
        super().__init__(logits.shape[:split], logits.shape[split:])
        self.logits = logits
        self.event_ndim = event_ndim

    def map(self, function: TensorMap) -> Bits:
        return Bits(function(self.logits, self.event_ndim), self.event_ndim)

    @property
    def mean(self) -> Tensor:
        return self.logits.sigmoid()

    @property
    def mode(self) -> Tensor:
        return (self.logits > 0).to(self.logits.dtype)

    @property
    def centre(self) -> Tensor:
        """The mode: the mean is no point of the support."""
        return self.mode

    @property
    def variance(self) -> Tensor:
        return self.logits.sigmoid() * (-self.logits).sigmoid()

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            return torch.bernoulli(self.logits.sigmoid().expand(self._shape(sample_shape)))

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        raise NotImplementedError("bits have no pathwise gradient; use sample()")

    def log_prob(self, value: Tensor) -> Tensor:
        return event_sum(value * self.logits - F.softplus(self.logits), self.event_ndim)

    def entropy(self) -> Tensor:
        return -self.log_prob(self.mean)

    def tempered(self, temperature: float) -> Bits:
        """Probabilities proportional to $\\pi^{1/T}$."""
        return self.map(lambda logits, event_ndim: logits / temperature)


class RelaxedBits(Bits):
    r"""Bits that are drawn with a gradient: the binary concrete (Maddison et al. 2017, appendix B).

    $$\tilde z_d = \sigma\bigl((\ell_d + \log u_d - \log(1-u_d))/\tau\bigr), \qquad u_d \sim \mathcal{U}(0, 1)$$

    `rsample` yields $\tilde z$, or with `straight_through` the exact bit that belongs to the same noise, whose gradient
    is that of $\tilde z$. `sample` is exact, and `log_prob`, `mean` and KL are those of the bits themselves; Maddison et
    al. also train with the density of $\tilde z$, which is not done here.

    The gradients are biased as those of `RelaxedOneHot` are. For $f(z) = (z - 0.45)^2$, the example of Tucker et al.
    (2017), and $\pi = 1/2$ the exact gradient of $\mathbb{E} f$ with respect to $\ell$ is 0.025. The mean of either
    estimator is 0.0167 at $\tau = 1$, 0.0215 at 0.5 and 0.0240 at 0.25.

    Args:
        logits: as in `Bits`.
        event_ndim: number of event axes.
        temperature: $\tau > 0$.
        straight_through: whether draws are bits.
    """

    has_rsample = True

    def __init__(
        self, logits: Tensor, event_ndim: int = 1, temperature: float = 0.5, straight_through: bool = False
    ) -> None:
        super().__init__(logits, event_ndim)
        self.temperature = temperature
        self.straight_through = straight_through

    def map(self, function: TensorMap) -> RelaxedBits:
        logits = function(self.logits, self.event_ndim)
        return RelaxedBits(logits, self.event_ndim, self.temperature, self.straight_through)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        u = torch.rand(self._shape(sample_shape), dtype=self.logits.dtype, device=self.logits.device)
        eps = torch.finfo(u.dtype).eps
        perturbed = self.logits + u.clamp(eps, 1 - eps).logit()
        soft = (perturbed / self.temperature).sigmoid()
        if not self.straight_through:
            return soft
        # in this order the forward value is exactly 0 or 1
        return (perturbed > 0).to(soft.dtype) + (soft - soft.detach())


@register_kl(Bits, Bits)
def kl_bits_bits(q: Bits, p: Bits) -> Tensor:
    r"""$\sum_d \pi^q_d(\ell^q_d - \ell^p_d) - \log(1+e^{\ell^q_d}) + \log(1+e^{\ell^p_d})$."""
    kl = q.mean * (q.logits - p.logits) - F.softplus(q.logits) + F.softplus(p.logits)
    return event_sum(kl, q.event_ndim)
