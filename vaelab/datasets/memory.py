"""Data that lie in memory, on the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.datasets.binarisation import Binariser, to_floats
from vaelab.datasets.condition import condition_of
from vaelab.types import Batch, DataSpec


@dataclass(frozen=True)
class MemoryPart:
    """One part of a data set as it was published, before any of it is held out.

    Attributes:
        x: `[N, *shape]`, uint8 or float32; the values of a datum are `x / divisor`.
        y: labels `[N]`, int64, or None.
        divisor: the number that stands for white.
        condition: `[N, C]`, or None where the condition is the label or nothing.
    """

    x: Tensor
    y: Tensor | None
    divisor: float = 255.0
    condition: Tensor | None = None

    def __len__(self) -> int:
        return self.x.shape[0]

    def select(self, rows: Tensor, spec: DataSpec, binariser: Binariser) -> MemorySplit:
        """The data at these positions, as a split."""
        flat = self.x.flatten(1).index_select(0, rows)
        stored, divisor = binariser.store(flat, self.divisor, rows)
        y = None if self.y is None else self.y.index_select(0, rows)
        condition = None if self.condition is None else self.condition.index_select(0, rows)
        return MemorySplit(spec, stored, y, divisor, binariser.dynamic, condition)


class MemorySplit:
    """A split kept whole on one device, gathered by index and binarised there.

    Args:
        spec: of one datum.
        stored: `[N, D]`, uint8 or float32; NaN where a number is missing and `spec.masked` says so.
        y: `[N]` labels, or None.
        divisor: `stored / divisor` are the values.
        dynamic: whether the values are probabilities of bits that are drawn at each fetch, with the global
            generator of the device.
        condition: `[N, C]`, or None where it is the label or nothing.
    """

    def __init__(
        self,
        spec: DataSpec,
        stored: Tensor,
        y: Tensor | None,
        divisor: float = 1.0,
        dynamic: bool = False,
        condition: Tensor | None = None,
    ) -> None:
        self.spec = spec
        self._stored = stored.contiguous()
        self._y = y
        self._divisor = divisor
        self._dynamic = dynamic
        self._condition = condition
        self._device = stored.device

    def __len__(self) -> int:
        return self._stored.shape[0]

    def fetch(self, index: Tensor) -> Batch:
        """The data at these positions (`[B]`, int64)."""
        index = index.to(self._device)
        chosen = self._stored.index_select(0, index)
        observed = None
        if self.spec.masked:
            observed = ~chosen.isnan()
            chosen = chosen.nan_to_num(0.0)
        x = to_floats(chosen, self._divisor, self._dynamic)
        y = None if self._y is None else self._y.index_select(0, index)
        if observed is not None:
            observed = observed.view(-1, *self.spec.shape)
        own = self._condition
        condition = condition_of(self.spec, y) if own is None else own.index_select(0, index)
        return Batch(x.view(-1, *self.spec.shape), y, observed, condition)

    def batches(self, order: Tensor, batch_size: int) -> Iterator[Batch]:
        """The data in this order, in batches; the last one may be smaller."""
        if order.numel():  # the split of an empty tensor is one empty tensor
            for index in torch.split(order.to(self._device), batch_size):
                yield self.fetch(index)

    def to(self, device: torch.device) -> MemorySplit:
        """The same split on another device."""
        y = None if self._y is None else self._y.to(device)
        condition = None if self._condition is None else self._condition.to(device)
        return MemorySplit(self.spec, self._stored.to(device), y, self._divisor, self._dynamic, condition)
