"""Discrete codes: a deterministic choice of code vectors, and the uniform distribution over them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import register_kl

from vaelab.distributions.base import Distribution, Draw, SampleShape, TensorMap

#: Distances between vectors and codes that are held at a time.
_MOST_DISTANCES = 2**24


def straight_through(value: Tensor, like: Tensor) -> Tensor:
    """`value`, exactly, with the gradient of the identity with respect to `like`."""
    return value.detach() + (like - like.detach())


def nearest_codes(book: Tensor, vectors: Tensor) -> Tensor:
    """The row of `book` `[C, D]` that is nearest to each vector `[*, D]`: indices `[*]`, int64."""
    # in parts, because all distances at once would be the largest tensor of a model
    rows = max(1, _MOST_DISTANCES // len(book))
    parts = vectors.reshape(-1, vectors.shape[-1]).split(rows)
    return torch.cat([torch.cdist(part, book).argmin(-1) for part in parts]).reshape(vectors.shape[:-1])


class QuantisedCodes(Distribution):
    r"""The one-hot posterior of a VQ-VAE: all mass on one code at each position (van den Oord et al. 2017).

    Its sample is the code vector with a straight-through gradient, and its log-probability is 0.

    Args:
        z: code vectors with the straight-through gradient, `[*batch, D, *positions]`.
        index: chosen codes, `[*batch, *positions]`, int64.
        penalty: commitment, nats, `[*batch]`, or None where there is none.
        positions_ndim: number of axes of positions; it may be left out where there is a penalty.
    """

    def __init__(self, z: Tensor, index: Tensor, penalty: Tensor | None, positions_ndim: int | None = None) -> None:
        if positions_ndim is None:
            assert penalty is not None
            positions_ndim = index.ndim - penalty.ndim
        split = index.ndim - positions_ndim
        super().__init__(z.shape[:split], z.shape[split:])
        self.z = z
        self.index = index
        self.penalty = penalty
        self.positions_ndim = positions_ndim

    def map(self, function: TensorMap) -> QuantisedCodes:
        return QuantisedCodes(
            function(self.z, len(self._event_shape)),
            function(self.index, self.positions_ndim),
            None if self.penalty is None else function(self.penalty, 0),
            self.positions_ndim,
        )

    @property
    def mean(self) -> Tensor:
        return self.z

    def draw(self) -> Draw:
        return Draw(self.z, log_q=self.z.new_zeros(self._batch_shape), penalty=self.penalty)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.z.expand(self._shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """0, for the value that was chosen."""
        return self.z.new_zeros(value.shape[: value.ndim - len(self._event_shape)])


class UniformCodes(Distribution):
    r"""Each position takes one of `codes` code vectors with equal probability, $\log p = -N\log C$.

    Args:
        batch_shape: of the distribution.
        event_shape: `(D, *positions)`.
        codes: C.
        lookup: maps indices `[*, *positions]` to code vectors `[*, D, *positions]`.
        like: a tensor whose device and dtype log-probabilities take.
    """

    has_rsample = False

    def __init__(
        self,
        batch_shape: torch.Size | tuple[int, ...],
        event_shape: torch.Size | tuple[int, ...],
        codes: int,
        lookup: Callable[[Tensor], Tensor],
        like: Tensor,
    ) -> None:
        super().__init__(batch_shape, event_shape)
        self.codes = codes
        self.lookup = lookup
        self.like = like

    def map(self, function: TensorMap) -> UniformCodes:
        batch = function(self.like.new_zeros(()).expand(self._batch_shape), 0).shape
        return UniformCodes(batch, self._event_shape, self.codes, self.lookup, self.like)

    @property
    def log_size(self) -> float:
        """$N\\log C$, the nats of one datum's codes."""
        return math.prod(self._event_shape[1:]) * math.log(self.codes)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        shape = (*sample_shape, *self._batch_shape, *self._event_shape[1:])
        return self.lookup(torch.randint(self.codes, shape, device=self.like.device))

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        raise NotImplementedError("codes have no pathwise gradient; use sample()")

    def log_prob(self, value: Tensor) -> Tensor:
        return self.like.new_full(value.shape[: value.ndim - len(self._event_shape)], -self.log_size)


@register_kl(QuantisedCodes, UniformCodes)
def kl_quantised_uniform(q: QuantisedCodes, p: UniformCodes) -> Tensor:
    r"""$N\log C$: a certain choice among equally likely codes (van den Oord et al. 2017, section 3.1)."""
    return q.z.new_full(q.batch_shape, p.log_size)
