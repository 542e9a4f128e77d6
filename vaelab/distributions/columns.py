"""Vectors whose columns are of two kinds."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vaelab.distributions.base import Distribution, SampleShape, TensorMap, event_sum

#: Puts real columns `[..., R]` and categorical ones, each `[...]`, into their places.
Join = Callable[[Tensor, list[Tensor]], Tensor]


class MixedColumns(Distribution):
    r"""Independent columns, normal or categorical, $\sum_{r} \log\mathcal{N}(x_r; \mu_r, \sigma_r^2) + \sum_c \log\pi_{c,x_c}$.

    Nats of a density in the real columns and of a probability in the others.

    Args:
        loc: $\mu$ of the real columns, `[*batch, R]`.
        log_scale: $\log\sigma$, same shape.
        logits: unnormalised $\log\pi$ of each categorical column, `[*batch, levels]`.
        split: `[..., D]` to the real columns `[..., R]` and the indices `[...]` of each categorical one.
        join: the inverse.
    """

    has_rsample = False

    def __init__(
        self,
        loc: Tensor,
        log_scale: Tensor,
        logits: list[Tensor],
        split: Callable[[Tensor], tuple[Tensor, list[Tensor]]],
        join: Join,
    ) -> None:
        super().__init__(loc.shape[:-1], (loc.shape[-1] + len(logits),))
        self.loc = loc
        self.log_scale = log_scale
        self.logits = logits
        self.split = split
        self.join = join

    def map(self, function: TensorMap) -> MixedColumns:
        logits = [function(column, 1) for column in self.logits]
        return MixedColumns(function(self.loc, 1), function(self.log_scale, 1), logits, self.split, self.join)

    @property
    def mean(self) -> Tensor:
        """The mean of each real column, and the likeliest level of each categorical one: levels have no mean."""
        return self.join(self.loc, [column.argmax(-1).to(self.loc.dtype) for column in self.logits])

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            shape = torch.Size((*sample_shape, *self._batch_shape))
            noise = torch.randn(*shape, self.loc.shape[-1], dtype=self.loc.dtype, device=self.loc.device)
            real = self.loc + self.log_scale.exp() * noise
            drawn = []
            for column in self.logits:
                # the largest of logits with Gumbel noise is a draw
                gumbel = -torch.empty_like(column.expand(*shape, -1)).exponential_().log()
                drawn.append((column + gumbel).argmax(-1).to(self.loc.dtype))
            return self.join(real, drawn)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        raise NotImplementedError("categories have no pathwise gradient; use sample()")

    def log_prob_terms(self, value: Tensor) -> Tensor:
        real, indices = self.split(value)
        standardised = (real - self.loc) * (-self.log_scale).exp()
        densities = -0.5 * standardised.square() - self.log_scale - 0.5 * math.log(2 * math.pi)
        batch = densities.shape[:-1]
        columns = []
        for logits, index in zip(self.logits, indices, strict=True):
            log_pi = logits.log_softmax(-1).expand(*batch, -1)
            columns.append(log_pi.gather(-1, index.expand(batch).unsqueeze(-1)).squeeze(-1))
        return self.join(densities, columns)

    def log_prob(self, value: Tensor) -> Tensor:
        return event_sum(self.log_prob_terms(value), 1)
