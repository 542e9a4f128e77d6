"""Normal distributions with independent components, and mixtures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor
from torch.distributions import register_kl

from vaelab import shared_batch
from vaelab.distributions.base import Distribution, SampleShape, TensorMap, event_sum
from vaelab.shared_batch import mine, total

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class DiagonalNormal(Distribution):
    r"""Normal with a diagonal covariance, $\mathcal{N}(\mu, \operatorname{diag}\sigma^2)$.

    $$\log p(z) = -\sum_d \tfrac{(z_d-\mu_d)^2}{2\sigma_d^2} + \log\lvert\sigma_d\rvert + \tfrac12\log 2\pi$$

    Args:
        loc: $\mu$, `[*batch, *event]`.
        scale: $\sigma$, same shape. A negative scale is the same distribution as its absolute value (a linear
            layer without an activation can be one).
        log_scale: $\log\lvert\sigma\rvert$, same shape; given beside `scale` because each parametrisation knows
            one of the two exactly.
        event_ndim: number of event axes.
    """

    def __init__(self, loc: Tensor, scale: Tensor, log_scale: Tensor, event_ndim: int = 1) -> None:
        split = loc.ndim - event_ndim
        super().__init__(loc.shape[:split], loc.shape[split:])
        self.loc = loc
        self.scale = scale
        self.log_scale = log_scale
        self.event_ndim = event_ndim

    @classmethod
    def from_log_scale(cls, loc: Tensor, log_scale: Tensor, event_ndim: int = 1) -> DiagonalNormal:
        """From $\\mu$ and $\\log\\sigma$."""
        return DiagonalNormal(loc, log_scale.exp(), log_scale, event_ndim)

    def map(self, function: TensorMap) -> DiagonalNormal:
        n = self.event_ndim
        return DiagonalNormal(function(self.loc, n), function(self.scale, n), function(self.log_scale, n), n)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale.square()

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        noise = torch.randn(self._shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return torch.addcmul(self.loc, self.scale, noise)

    def log_prob_terms(self, value: Tensor) -> Tensor:
        standardised = (value - self.loc) / self.scale
        return -0.5 * standardised.square() - self.log_scale - _HALF_LOG_TWO_PI

    def log_prob(self, value: Tensor) -> Tensor:
        return event_sum(self.log_prob_terms(value), self.event_ndim)

    def log_prob_of_each(self, value: Tensor) -> Tensor:
        r"""See the base. The square is $z^2 \cdot \sigma^{-2} - 2 z \cdot \mu\sigma^{-2} + \mu^2 \cdot \sigma^{-2}$, summed over d.

        Two matrix products, and no tensor of all points by all components by all dimensions. The three parts can be far
        larger than their sum, hence float64.
        """
        if len(self._batch_shape) != 1 or value.device.type == "mps":  # which has no float64
            return super().log_prob_of_each(value)
        points = value.reshape(*value.shape[: value.ndim - self.event_ndim], -1).double()
        count = self._batch_shape[0]
        loc, precision = (
            self.loc.reshape(count, -1).double(),
            self.scale.reshape(count, -1).double().square().reciprocal(),
        )
        scaled = loc * precision
        square = points.square() @ precision.T - 2 * points @ scaled.T + (loc * scaled).sum(-1)
        volume = event_sum(self.log_scale + _HALF_LOG_TWO_PI, self.event_ndim)
        return -0.5 * square.clamp_min(0).to(value.dtype) - volume

    def log_prob_terms_of_each(self, value: Tensor) -> Tensor:
        r"""See the base. Each is a polynomial in $z$, $-z^2/2\sigma^2 + z\mu/\sigma^2 - \mu^2/2\sigma^2 - \log\sigma$ and a constant.

        A product of $(z^2, z, 1)$ with the coefficients: one pass over the D x B x C numbers forwards, and two products
        backwards. In float64, since the parts can be far larger than their sum.
        """
        if value.device.type == "mps":  # which has no float64
            return super().log_prob_terms_of_each(value)
        points, loc, scale, log_scale = (
            tensor.flatten(1).double().T for tensor in (value, self.loc, self.scale, self.log_scale)
        )
        half = 0.5 / scale.square()
        scaled = loc * half
        powers = torch.stack((points.square(), points, torch.ones_like(points)), 2)
        coefficients = torch.stack((-half, 2 * scaled, -loc * scaled - log_scale - _HALF_LOG_TWO_PI), 1)
        return (powers @ coefficients).to(value.dtype)

    def entropy(self) -> Tensor:
        return event_sum(self.log_scale + (0.5 + _HALF_LOG_TWO_PI), self.event_ndim)

    def tempered(self, temperature: float) -> DiagonalNormal:
        """The scale times the temperature, as in Kingma & Dhariwal (2018), section 6."""
        if temperature == 1.0:
            return self
        shift = math.log(temperature) if temperature > 0 else -math.inf
        return DiagonalNormal(self.loc, self.scale * temperature, self.log_scale + shift, self.event_ndim)


class StandardNormal(DiagonalNormal):
    r"""$\mathcal{N}(0, I)$, with the cheaper density and KL that zero mean and unit scale allow."""

    def __init__(self, zeros: Tensor, event_ndim: int = 1) -> None:
        super().__init__(
            zeros, torch.ones((), dtype=zeros.dtype, device=zeros.device).expand_as(zeros), zeros, event_ndim
        )

    def map(self, function: TensorMap) -> StandardNormal:
        return StandardNormal(function(self.loc, self.event_ndim), self.event_ndim)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return torch.randn(self._shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)

    def log_prob(self, value: Tensor) -> Tensor:
        size = self._event_shape.numel()
        return -0.5 * event_sum(value.square(), self.event_ndim) - size * _HALF_LOG_TWO_PI


@register_kl(DiagonalNormal, DiagonalNormal)
def kl_normal_normal(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    r"""$\sum_d \log\frac{\sigma_p}{\sigma_q} + \frac{\sigma_q^2 + (\mu_q-\mu_p)^2}{2\sigma_p^2} - \frac12$."""
    ratio = (q.scale / p.scale).square()
    shift = ((q.loc - p.loc) / p.scale).square()
    return event_sum(0.5 * (ratio + shift - 1) + p.log_scale - q.log_scale, q.event_ndim)


@register_kl(DiagonalNormal, StandardNormal)
def kl_normal_standard(q: DiagonalNormal, p: StandardNormal) -> Tensor:
    r"""$\frac12\sum_d \sigma^2 + \mu^2 - 1 - \log\sigma^2$ (Kingma & Welling 2014, appendix B)."""
    return event_sum(0.5 * (q.scale.square() + q.loc.square() - 1) - q.log_scale, q.event_ndim)


class Mixture(Distribution):
    r"""Mixture of distributions of one family, $\sum_c \pi_c\, p_c(z)$.

    It has no closed KL and no reparametrised sample; `sample` picks a component and draws from it.

    Args:
        components: a distribution whose last batch axis are the C components, `[*batch, C]`.
        logits: unnormalised $\log\pi$, `[C]` or `[*batch, C]`.
    """

    has_rsample = False

    def __init__(self, components: Distribution, logits: Tensor) -> None:
        super().__init__(components.batch_shape[:-1], components.event_shape)
        self.has_density = components.has_density
        self.has_log_prob = components.has_log_prob
        self.components = components
        self.logits = logits

    def map(self, function: TensorMap) -> Self:
        return type(self)(self.components.map(lambda tensor, n: function(tensor, n + 1)), function(self.logits, 1))

    @property
    def mean(self) -> Tensor:
        weights = self.logits.softmax(-1)
        weights = weights.reshape(*weights.shape, *(1 for _ in self._event_shape))
        return (weights * self.components.mean).sum(-1 - len(self._event_shape))

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            shape = torch.Size((*sample_shape, *self._batch_shape))
            draws = self.components.sample(sample_shape)
            weights = self.logits.softmax(-1).expand(*shape, -1)
            index = torch.multinomial(weights.reshape(-1, weights.shape[-1]), 1).reshape(shape)
            ones = (1,) * len(self._event_shape)
            index = index.reshape(*shape, 1, *ones).expand(*shape, 1, *self._event_shape)
            return draws.gather(len(shape), index).squeeze(len(shape))

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        raise NotImplementedError("a mixture's choice of component has no pathwise gradient; use sample()")

    def log_prob(self, value: Tensor) -> Tensor:
        log_components = self.components.log_prob_of_each(value)
        return torch.logsumexp(log_components + self.logits.log_softmax(-1), -1)

    def tempered(self, temperature: float) -> Self:
        """Each component at the temperature; the weights stay."""
        return type(self)(self.components.tempered(temperature), self.logits)


class OptimalScaleNormal(Distribution):
    r"""Normal whose one scale maximises the likelihood of the batch that it scores (Rybkin et al. 2021, equation 7).

    $$\sigma^{*2} = \frac1{KBD}\sum (x-\mu)^2$$

    Args:
        loc: $\mu$, `[K, B, *event]`.
        event_ndim: number of event axes.
        log_scale: $\log\sigma$ of samples, which no data tell; one number.
        observe: called with $\log\sigma^*$, detached, at each scoring.
    """

    def __init__(self, loc: Tensor, event_ndim: int, log_scale: Tensor, observe: Callable[[Tensor], None]) -> None:
        split = loc.ndim - event_ndim
        super().__init__(loc.shape[:split], loc.shape[split:])
        self.loc = loc
        self.event_ndim = event_ndim
        self.log_scale = log_scale
        self.observe = observe

    def map(self, function: TensorMap) -> OptimalScaleNormal:
        return OptimalScaleNormal(function(self.loc, self.event_ndim), self.event_ndim, self.log_scale, self.observe)

    @property
    def mean(self) -> Tensor:
        return self.loc

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        noise = torch.randn(self._shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.log_scale.exp() * noise

    def log_prob(self, value: Tensor) -> Tensor:
        error = (value - self.loc).square()
        return event_sum(self._terms(error, shared_batch.mean(error, 1)), self.event_ndim)

    def log_prob_where(self, value: Tensor, observed: Tensor) -> Tensor:
        error = (value - self.loc).square().masked_fill(~observed, 0.0)
        sums = torch.stack([mine(part, 1).sum() for part in (error, observed.expand_as(error).to(error.dtype))])
        squared, number = total(sums)
        mean = squared / number.clamp_min(1)
        return event_sum(self._terms(error, mean).masked_fill(~observed, 0.0), self.event_ndim)

    def _terms(self, error: Tensor, mean: Tensor) -> Tensor:
        # a perfect reconstruction would make the density infinite
        log_scale = 0.5 * mean.clamp_min(1e-12).log()
        self.observe(log_scale.detach())
        return -(0.5 * error * (-2 * log_scale).exp() + log_scale + _HALF_LOG_TWO_PI)
