"""Data that are made when they are needed, in this process: drawn by a function or unpacked from memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from vaelab.datasets.binarisation import Binariser, to_floats
from vaelab.datasets.condition import condition_of
from vaelab.datasets.memory import MemorySplit
from vaelab.types import Batch, DataSpec, numel

CPU = torch.device("cpu")

#: Data that are made at once, where all are.
CHUNK = 2048


class Source(Protocol):
    """Makes any data of a part; always the same for the same row.

    Attributes:
        divisor: the number that stands for white.
    """

    divisor: float

    def __len__(self) -> int: ...

    def draw(self, rows: Tensor) -> Tensor:
        """The data at these positions `[B]`, as uint8 `[B, D]`, on the source's device."""
        ...

    def to(self, device: torch.device) -> Self:
        """The same source, which draws on another device."""
        ...


@dataclass(frozen=True)
class PackedBits:
    """Bits kept at eight a byte.

    Attributes:
        packed: `[N, ceil(D / 8)]`, uint8, the first bit of a byte its highest.
        number: D.
    """

    packed: Tensor
    number: int

    divisor = 1.0

    def __len__(self) -> int:
        return self.packed.shape[0]

    def draw(self, rows: Tensor) -> Tensor:
        """The bits at these positions."""
        packed = self.packed[rows].unsqueeze(2)
        shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=packed.device)
        return ((packed >> shifts) & 1).flatten(1)[:, : self.number]

    def to(self, device: torch.device) -> PackedBits:
        """The same bits on another device."""
        return PackedBits(self.packed.to(device), self.number)


@dataclass(frozen=True)
class Pictures:
    """Pictures in an array with channels last, which may be mapped from a file and stays where it is.

    Attributes:
        array: `[N, H, W, C]`, uint8.
        device: where the pictures are needed.
    """

    array: np.ndarray
    device: torch.device = CPU

    divisor = 255.0

    def __len__(self) -> int:
        return len(self.array)

    def draw(self, rows: Tensor) -> Tensor:
        """The pictures at these positions, channels first."""
        found = torch.from_numpy(self.array[rows.cpu().numpy()])
        return found.permute(0, 3, 1, 2).flatten(1).to(self.device)

    def to(self, device: torch.device) -> Pictures:
        """The same pictures, which arrive on another device."""
        return Pictures(self.array, device)


@dataclass(frozen=True)
class DrawnPart:
    """One part of a data set whose data are made when they are needed; see `MemoryPart`.

    Attributes:
        source: makes the data.
        y: labels `[N]`, int64, or None.
        memory_limit: bytes up to which all data of a split are made once and kept.
    """

    source: Source
    y: Tensor | None
    memory_limit: int = 0

    def __len__(self) -> int:
        return len(self.source)

    def select(self, rows: Tensor, spec: DataSpec, binariser: Binariser) -> MemorySplit | DrawnSplit:
        """The data at these positions, as a split."""
        y = None if self.y is None else self.y.index_select(0, rows)
        if len(rows) * numel(spec.shape) > self.memory_limit:
            return DrawnSplit(spec, self.source, rows, y, binariser)
        flat = torch.empty(len(rows), numel(spec.shape), dtype=torch.uint8)
        for piece, some in zip(flat.split(CHUNK), rows.split(CHUNK), strict=True):
            piece.copy_(self.source.draw(some))
        stored, divisor = binariser.store(flat, self.source.divisor, rows)
        return MemorySplit(spec, stored, y, divisor, binariser.dynamic)


class DrawnSplit:
    """A split whose data are made at each fetch, on the device where the batches are needed.

    Args:
        spec: of one datum.
        source: makes the data.
        rows: `[N]` positions in the source.
        y: `[N]` labels, or None.
        binariser: what is done to the data.
    """

    def __init__(self, spec: DataSpec, source: Source, rows: Tensor, y: Tensor | None, binariser: Binariser) -> None:
        self.spec = spec
        self._source = source
        self._rows = rows
        self._y = y
        self._binariser = binariser

    def __len__(self) -> int:
        return self._rows.shape[0]

    def fetch(self, index: Tensor) -> Batch:
        """The data at these positions (`[B]`, int64)."""
        index = index.to(self._rows.device)
        rows = self._rows.index_select(0, index)
        flat = self._source.draw(rows)
        if self._binariser.mode == "static":
            flat = flat.cpu()  # where its bits are drawn, whatever the device
        stored, divisor = self._binariser.store(flat, self._source.divisor, rows)
        x = to_floats(stored.to(rows.device), divisor, self._binariser.dynamic)
        y = None if self._y is None else self._y.index_select(0, index)
        return Batch(x.view(-1, *self.spec.shape), y, condition=condition_of(self.spec, y))

    def batches(self, order: Tensor, batch_size: int) -> Iterator[Batch]:
        """The data in this order, in batches; the last one may be smaller."""
        if order.numel():
            for index in torch.split(order, batch_size):
                yield self.fetch(index)

    def to(self, device: torch.device) -> DrawnSplit:
        """The same split on another device."""
        y = None if self._y is None else self._y.to(device)
        return DrawnSplit(self.spec, self._source.to(device), self._rows.to(device), y, self._binariser)
