"""Discrete codes that are drawn one after another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import register_kl

from vaelab.distributions.base import Distribution, SampleShape, TensorMap
from vaelab.distributions.codes import QuantisedCodes


class CodeNetwork(Protocol):
    """An autoregressive model of sequences of N indices."""

    def log_prob(self, index: Tensor, temperature: float = 1.0) -> Tensor:
        """The log-probability `[M]`, nats, of sequences `[M, N]`."""
        ...

    def sample(self, number: int, temperature: float = 1.0) -> Tensor:
        """Sequences `[number, N]`."""
        ...


class AutoregressiveCodes(Distribution):
    r"""Code vectors whose indices follow a network, $\log p(z) = \sum_n \log p(k_n \mid k_{<n})$ in raster order.

    Args:
        batch_shape: of the distribution.
        event_shape: `(D, *positions)`.
        network: the model of the indices.
        lookup: maps indices `[*, *positions]` to code vectors `[*, D, *positions]`.
        find: the inverse of `lookup`; a vector that is no code counts as the nearest one.
        temperature: what the logits of each step are divided by.
        frozen: whether the network's parameters are cut from the graph.
    """

    has_rsample = False

    def __init__(
        self,
        batch_shape: torch.Size | tuple[int, ...],
        event_shape: torch.Size | tuple[int, ...],
        network: CodeNetwork,
        lookup: Callable[[Tensor], Tensor],
        find: Callable[[Tensor], Tensor],
        temperature: float = 1.0,
        frozen: bool = False,
    ) -> None:
        super().__init__(batch_shape, event_shape)
        self.network = network
        self.lookup = lookup
        self.find = find
        self.temperature = temperature
        self.frozen = frozen

    def map(self, function: TensorMap) -> AutoregressiveCodes:
        batch = function(torch.zeros(()).expand(self._batch_shape), 0).shape
        return self._with(batch, self.temperature, self.frozen)

    def detached(self) -> AutoregressiveCodes:
        return self._with(self._batch_shape, self.temperature, True)

    def tempered(self, temperature: float) -> AutoregressiveCodes:
        """Each step's probabilities to the power 1/T, renormalised."""
        return self._with(self._batch_shape, self.temperature * temperature, self.frozen)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            shape = torch.Size((*sample_shape, *self._batch_shape))
            index = self.network.sample(shape.numel(), self.temperature)
            return self.lookup(index.reshape(*shape, *self._event_shape[1:]))

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        raise NotImplementedError("codes have no pathwise gradient; use sample()")

    def log_prob(self, value: Tensor) -> Tensor:
        return self.log_prob_of(self.find(value.detach()))

    def log_prob_of(self, index: Tensor) -> Tensor:
        """The log-probability `[*]` of indices `[*, *positions]`."""
        batch = index.shape[: index.ndim - len(self._event_shape) + 1]
        with torch.no_grad() if self.frozen else nullcontext():
            return self.network.log_prob(index.reshape(batch.numel(), -1), self.temperature).reshape(batch)

    def _with(self, batch_shape: torch.Size | tuple[int, ...], temperature: float, frozen: bool) -> AutoregressiveCodes:
        return AutoregressiveCodes(
            batch_shape, self._event_shape, self.network, self.lookup, self.find, temperature, frozen
        )


@register_kl(QuantisedCodes, AutoregressiveCodes)
def kl_quantised_autoregressive(q: QuantisedCodes, p: AutoregressiveCodes) -> Tensor:
    r"""$-\log p(k)$ of the chosen codes k, which are certain under q."""
    return -p.log_prob_of(q.index)
