"""A point mass."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaelab.distributions.base import Distribution, SampleShape, TensorMap


class Dirac(Distribution):
    r"""All mass on one point, $\delta(z - \mu)$.

    It has no density, so a model that draws from it has neither a rate nor importance weights (`has_density`). Its
    `log_prob` is the logarithm of the probability of a single point: 0 at $\mu$ and minus infinity elsewhere.

    Args:
        loc: $\mu$, `[*batch, *event]`.
        event_ndim: number of event axes.
    """

    has_density = False

    def __init__(self, loc: Tensor, event_ndim: int = 1) -> None:
        split = loc.ndim - event_ndim
        super().__init__(loc.shape[:split], loc.shape[split:])
        self.loc = loc
        self.event_ndim = event_ndim

    def map(self, function: TensorMap) -> Dirac:
        return Dirac(function(self.loc, self.event_ndim), self.event_ndim)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.loc)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.loc.expand(self._shape(sample_shape))

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        # a view of a leaf keeps its gradient even where none are recorded
        return self.rsample(sample_shape).detach()

    def log_prob(self, value: Tensor) -> Tensor:
        hit = (value == self.loc).flatten(-self.event_ndim).all(-1)
        return torch.zeros_like(hit, dtype=self.loc.dtype).masked_fill(~hit, -math.inf)
