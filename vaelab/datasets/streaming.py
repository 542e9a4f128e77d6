"""Data that are read when they are needed, by worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from vaelab.datasets.binarisation import Binariser, to_floats
from vaelab.datasets.condition import condition_of
from vaelab.datasets.memory import MemorySplit
from vaelab.errors import DataError
from vaelab.types import Batch, DataSpec


class Reader(Protocol):
    """Reads one datum at a time; it travels to worker processes."""

    def __len__(self) -> int: ...

    def read(self, row: int) -> Tensor:
        """Datum number `row`, uint8 or float32, of any shape.

        Raises:
            DataError: it is damaged.
        """
        ...


@dataclass(frozen=True)
class ReaderPart:
    """One part of a data set whose data are read one by one; see `MemoryPart`.

    Attributes:
        reader: reads a datum.
        y: labels `[N]`, int64, or None.
        workers: processes (or threads, where data are read once) that read.
        in_memory: read what a split needs once and keep it, instead of reading it anew each time.
        divisor: the number that stands for white.
    """

    reader: Reader
    y: Tensor | None
    workers: int
    in_memory: bool
    divisor: float = 255.0

    def __len__(self) -> int:
        return len(self.reader)

    def select(self, rows: Tensor, spec: DataSpec, binariser: Binariser) -> MemorySplit | StreamingSplit:
        """The data at these positions, as a split."""
        if not self.in_memory:
            return StreamingSplit(spec, self, rows, binariser)
        # threads, because decoding lets go of the interpreter's lock and pictures need not be copied from
        # processes
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            flat = torch.stack(list(pool.map(self.reader.read, rows.tolist()))).flatten(1)
        stored, divisor = binariser.store(flat, self.divisor, rows)
        y = None if self.y is None else self.y.index_select(0, rows)
        return MemorySplit(spec, stored, y, divisor, binariser.dynamic)


class _Chunks(TorchDataset["Tensor | str"]):
    """Maps the positions of one batch to its rows, or to the message of what went wrong.

    An exception raised in a worker reaches the user wrapped in the worker's traceback, so a message travels
    instead.
    """

    def __init__(self, part: ReaderPart, rows: Tensor, binariser: Binariser) -> None:
        self._reader, self._divisor = part.reader, part.divisor
        self._rows = rows
        self._binariser = binariser

    def __getitem__(self, positions: list[int]) -> Tensor | str:
        rows = self._rows[positions]
        try:
            flat = torch.stack([self._reader.read(row).flatten() for row in rows.tolist()])
        except DataError as error:
            return str(error)
        return self._binariser.store(flat, self._divisor, rows)[0]


def _unchanged(chunk: Any) -> Any:
    return chunk


class StreamingSplit:
    """A split that reads its data anew each time.

    Args:
        spec: of one datum.
        part: what is read from.
        rows: `[N]` positions in that part.
        binariser: what is done to the data.
        device: where batches arrive.
    """

    def __init__(
        self,
        spec: DataSpec,
        part: ReaderPart,
        rows: Tensor,
        binariser: Binariser,
        device: torch.device | None = None,
    ) -> None:
        self.spec = spec
        self._part = part
        self._rows = rows
        self._binariser = binariser
        self._device = device or torch.device("cpu")
        self._chunks = _Chunks(part, rows, binariser)
        self._divisor = part.divisor if binariser.mode in ("none", "dynamic") else 1.0

    def __len__(self) -> int:
        return self._rows.shape[0]

    def fetch(self, index: Tensor) -> Batch:
        """The data at these positions (`[B]`, int64), read in this process."""
        index = index.cpu()
        return self._batch(index, self._chunks[index.tolist()])

    def batches(self, order: Tensor, batch_size: int) -> Iterator[Batch]:
        """The data in exactly this order, read ahead by the workers; the last batch may be smaller."""
        if not order.numel():
            return
        positions = list(torch.split(order.cpu(), batch_size))
        loader: DataLoader[Tensor | str] = DataLoader(
            self._chunks,
            sampler=[index.tolist() for index in positions],
            batch_size=None,
            collate_fn=_unchanged,
            num_workers=min(self._part.workers, len(positions)),
            pin_memory=self._device.type == "cuda",
            # Without its own, the loader would take a number from the global generator, and a run that is
            # stopped and resumed within an epoch would differ from one that is not.
            generator=torch.Generator(),
        )
        for index, chunk in zip(positions, loader, strict=True):
            yield self._batch(index, chunk)

    def to(self, device: torch.device) -> StreamingSplit:
        """The same split, whose batches arrive on another device."""
        return StreamingSplit(self.spec, self._part, self._rows, self._binariser, device)

    def _batch(self, index: Tensor, chunk: Tensor | str) -> Batch:
        if isinstance(chunk, str):
            raise DataError(chunk)
        x = to_floats(chunk.to(self._device, non_blocking=True), self._divisor, self._binariser.dynamic)
        y = None if self._part.y is None else self._part.y[self._rows[index]].to(self._device)
        return Batch(x.view(-1, *self.spec.shape), y, condition=condition_of(self.spec, y))
