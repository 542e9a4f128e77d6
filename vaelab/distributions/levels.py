"""Probabilities of grey levels: categorical, and logistic distributions that are cut into bins."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vaelab.distributions.base import Distribution, SampleShape, TensorMap, event_sum
from vaelab.distributions.elementwise import Elementwise


def logistic_log_mass(value: Tensor, loc: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    r"""Log-probability of grey levels under a logistic distribution cut into bins (Salimans et al. 2017, equation 2).

    $\log[\sigma(b) - \sigma(a)]$ with $a, b = (x \mp \frac\Delta2 - \mu)/s$ and $\Delta = \frac1{L-1}$; the first bin
    reaches to $-\infty$ and the last to $+\infty$. Computed as $\log\sigma(b) + \log\sigma(-a) + \log(1 - e^{a-b})$,
    the same number without a difference that cancels, where the paper switches to the density at the bin's centre.

    Args:
        value: levels in [0, 1]; what lies between two is rounded.
        loc: $\mu$, in the same unit.
        log_scale: $\log s$.
        levels: L.

    Returns:
        Nats, of the broadcast shape.
    """
    value = (value * (levels - 1)).round() / (levels - 1)
    half = 0.5 / (levels - 1)
    inverse = (-log_scale).exp()
    upper, lower = (value + half - loc) * inverse, (value - half - loc) * inverse
    # below the first bin and above the last there is nothing to cut off
    first, last = value < half, value > 1 - half
    log_below = torch.where(last, 0.0, F.logsigmoid(upper))
    log_above = torch.where(first, 0.0, F.logsigmoid(-lower))
    width = 2 * half * inverse
    log_width = torch.log(-torch.expm1(-width))
    return log_below + log_above + torch.where(first | last, 0.0, log_width)


def logistic_level_mean(loc: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    r"""Mean of the cut distribution, $\Delta\sum_{k=1}^{L-1} P(x \ge k\Delta)$, of the shape of `loc`."""
    inverse = (-log_scale).exp()
    total = torch.zeros_like(loc)
    for k in range(levels - 1):  # one after the other: all at once would take L times the memory of an image
        total += torch.sigmoid((loc - (k + 0.5) / (levels - 1)) * inverse)
    return total / (levels - 1)


def _logistic_levels(loc: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """A draw: the level whose bin a logistic draw falls into."""
    noise = torch.rand_like(loc).clamp(1e-7, 1 - 1e-7).logit()
    return ((loc + log_scale.exp() * noise) * (levels - 1)).round().clamp(0, levels - 1) / (levels - 1)


class DiscretisedLogistic(Elementwise):
    r"""Independent grey levels, each a logistic distribution cut into L bins; see `logistic_log_mass`.

    Args:
        loc: $\mu$ in the unit of the data, `[*batch, *event]`.
        log_scale: $\log s$, same shape.
        levels: L; the data are multiples of 1 / (L - 1) in [0, 1].
        event_ndim: number of event axes.
    """

    has_rsample = False
    fields = ("loc", "log_scale")
    loc: Tensor
    log_scale: Tensor

    def __init__(self, loc: Tensor, log_scale: Tensor, levels: int = 256, event_ndim: int = 1) -> None:
        super().__init__(loc, log_scale, event_ndim=event_ndim)
        self.levels = levels

    def map(self, function: TensorMap) -> DiscretisedLogistic:
        n = self.event_ndim
        return DiscretisedLogistic(function(self.loc, n), function(self.log_scale, n), self.levels, n)

    @property
    def mean(self) -> Tensor:
        return logistic_level_mean(self.loc, self.log_scale, self.levels)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            shape = self._shape(sample_shape)
            return _logistic_levels(self.loc.expand(shape), self.log_scale.expand(shape), self.levels)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        raise NotImplementedError("grey levels have no pathwise gradient; use sample()")

    def log_prob_terms(self, value: Tensor) -> Tensor:
        return logistic_log_mass(value, self.loc, self.log_scale, self.levels)


class CategoricalLevels(Distribution):
    r"""Independent grey levels, each of any distribution over L levels, $\log p(x) = \sum_d \log\pi_{d,x_d}$.

    Args:
        logits: unnormalised $\log\pi$, `[*batch, *event, L]`. The data are multiples of 1 / (L - 1) in [0, 1]; what
            lies between two levels is rounded.
        event_ndim: number of event axes, without the levels.
    """

    has_rsample = False

    def __init__(self, logits: Tensor, event_ndim: int = 1) -> None:
        split = logits.ndim - event_ndim - 1
        super().__init__(logits.shape[:split], logits.shape[split:-1])
        self.logits = logits
        self.event_ndim = event_ndim
        self.levels = logits.shape[-1]

    def map(self, function: TensorMap) -> CategoricalLevels:
        return CategoricalLevels(function(self.logits, self.event_ndim + 1), self.event_ndim)

    @property
    def mean(self) -> Tensor:
        grid = torch.linspace(0, 1, self.levels, dtype=self.logits.dtype, device=self.logits.device)
        return self.logits.softmax(-1) @ grid

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            logits = self.logits.expand(*self._shape(sample_shape), self.levels)
            # the largest of logits with Gumbel noise is a draw
            index = (logits - torch.empty_like(logits).exponential_().log()).argmax(-1)
            return index.to(logits.dtype) / (self.levels - 1)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        raise NotImplementedError("grey levels have no pathwise gradient; use sample()")

    def log_prob_terms(self, value: Tensor) -> Tensor:
        """Log-probability of each level, `[*batch, *event]`."""
        index = (value * (self.levels - 1)).round().clamp(0, self.levels - 1).long().unsqueeze(-1)
        batch = torch.broadcast_shapes(index.shape[:-1], self.logits.shape[:-1])
        chosen = self.logits.expand(*batch, -1).gather(-1, index.expand(*batch, 1)).squeeze(-1)
        return chosen - torch.logsumexp(self.logits, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        return event_sum(self.log_prob_terms(value), self.event_ndim)


class LogisticMixture(Distribution):
    r"""Pixels of C channels, each a mixture of logistic distributions cut into bins (PixelCNN++).

    $$p(x) = \prod_{hw}\sum_m \pi_m \prod_c p\bigl(x_c \mid \mu_{mc} + \textstyle\sum_{c'<c}\kappa_{mcc'}
    (x_{c'} - \tfrac12),\, s_{mc}\bigr)$$

    Salimans et al. (2017, equations 1 to 3): one choice of component a pixel, and the mean of a channel linear in the
    channels before it. In the unit [0, 1] of the data, centred at 1/2, where the paper uses [-1, 1].

    Args:
        logits: unnormalised $\log\pi$, `[*batch, M, H, W]`.
        loc: $\mu$, `[*batch, M, C, H, W]`.
        log_scale: $\log s$, same shape.
        slopes: $\kappa$ in the order (1,0), (2,0), (2,1), ..., `[*batch, M, C(C-1)/2, H, W]`.
        levels: L.
    """

    has_rsample = False

    def __init__(self, logits: Tensor, loc: Tensor, log_scale: Tensor, slopes: Tensor, levels: int = 256) -> None:
        super().__init__(loc.shape[:-4], loc.shape[-3:])
        self.logits, self.loc, self.log_scale, self.slopes = logits, loc, log_scale, slopes
        self.levels = levels

    def map(self, function: TensorMap) -> LogisticMixture:
        return LogisticMixture(
            function(self.logits, 3),
            function(self.loc, 4),
            function(self.log_scale, 4),
            function(self.slopes, 4),
            self.levels,
        )

    @staticmethod
    def _shifted(loc: Tensor, slopes: Tensor, before: list[Tensor]) -> Tensor:
        """The mean of the next channel, `[..., H, W]`, given the channels before it."""
        c = len(before)
        mean = loc[..., c, :, :]
        for j, channel in enumerate(before):
            mean = mean + slopes[..., c * (c - 1) // 2 + j, :, :] * (channel - 0.5)
        return mean

    @property
    def mean(self) -> Tensor:
        """Exact for one channel. For more, each is given the mean of those before it, as if none met an end of [0, 1]."""
        channels: list[Tensor] = []
        for c in range(self.loc.shape[-3]):
            loc = self._shifted(self.loc, self.slopes, channels)
            channels.append(logistic_level_mean(loc, self.log_scale[..., c, :, :], self.levels))
        weights = self.logits.softmax(-3).unsqueeze(-3)
        return (weights * torch.stack(channels, -3)).sum(-4)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            draws = self.expand((*sample_shape, *self._batch_shape))
            logits = draws.logits
            index = (logits - torch.empty_like(logits).exponential_().log()).argmax(-3, keepdim=True).unsqueeze(-3)

            def chosen(tensor: Tensor) -> Tensor:
                shape = (*index.shape[:-3], tensor.shape[-3], *index.shape[-2:])
                return tensor.gather(-4, index.expand(shape)).squeeze(-4)

            loc, log_scale, slopes = chosen(draws.loc), chosen(draws.log_scale), chosen(draws.slopes)
            channels: list[Tensor] = []
            for c in range(loc.shape[-3]):
                mean = self._shifted(loc, slopes, channels)
                channels.append(_logistic_levels(mean, log_scale[..., c, :, :], self.levels))
            return torch.stack(channels, -3)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        raise NotImplementedError("grey levels have no pathwise gradient; use sample()")

    def pixel_log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of each pixel with all its channels, `[*batch, H, W]`."""
        channels = value.unsqueeze(-4).unbind(-3)
        each = self.logits.log_softmax(-3)
        for c, channel in enumerate(channels):
            mean = self._shifted(self.loc, self.slopes, list(channels[:c]))
            each = each + logistic_log_mass(channel, mean, self.log_scale[..., c, :, :], self.levels)
        return torch.logsumexp(each, -3)

    def log_prob(self, value: Tensor) -> Tensor:
        return event_sum(self.pixel_log_prob(value), 2)

    def log_prob_where(self, value: Tensor, observed: Tensor) -> Tensor:
        whole = observed.all(-3)
        if not torch.equal(whole, observed.any(-3)):
            raise NotImplementedError("LogisticMixture can leave out whole pixels, not single channels of one")
        return event_sum(self.pixel_log_prob(value).masked_fill(~whole, 0.0), 2)
