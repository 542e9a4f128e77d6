"""Rows of a .npy file that is larger than the memory it may take."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaelab.datasets import array_files
from vaelab.datasets.array_layout import Layout, arrange
from vaelab.datasets.array_values import checked_values
from vaelab.errors import DataError
from vaelab.types import Shape, Values


@dataclass(frozen=True)
class ArrayReader:
    """Reads a datum at a time from its place in the file; see `vaelab.datasets.streaming.Reader`.

    By reads of its bytes and not by a map of the file, whose pages would count as memory of the process.

    Attributes:
        path: of the file.
        offset: bytes before the first datum.
        count: number of data.
        shape: of a datum as it is stored.
        dtype: of its numbers, in numpy's notation.
        number: their kind.
        values: what they are.
        layout: which axis is what.
    """

    path: str
    offset: int
    count: int
    shape: Shape
    dtype: str
    number: array_files.Number
    values: Values
    layout: Layout

    @classmethod
    def of(cls, path: Path, key: str, values: Values, layout: Layout) -> ArrayReader:
        """The reader of a file.

        Raises:
            DataError: its numbers lie in Fortran's order, where a datum is in many places, or it is cut off.
        """
        found = array_files.header(path, key)
        opened = array_files.mapped(path)
        if not opened.flags.c_contiguous:
            raise DataError(
                f"{path}: the array is in Fortran's order, which cannot be streamed. Save numpy.ascontiguousarray of it."
            )
        return cls(
            str(path), opened.offset, found.shape[0], found.shape[1:], opened.dtype.str, found.number, values, layout
        )

    @property
    def divisor(self) -> float:
        """The number that stands for 1."""
        return 255.0 if self.number == "uint8" and self.values == "unit" else 1.0

    def __len__(self) -> int:
        return self.count

    def read(self, row: int) -> Tensor:
        """Datum number `row`, uint8 or float32."""
        dtype = np.dtype(self.dtype)
        size = math.prod(self.shape) * dtype.itemsize
        content = os.pread(_descriptor(self.path, os.getpid()), size, self.offset + row * size)
        if len(content) < size:
            raise DataError(f"{self.path} is cut off within datum {row}. Write the file again.")
        kept = "uint8" if self.number in ("uint8", "bool") else "float32"
        with np.errstate(over="ignore"):  # what becomes infinite is refused below
            x = torch.from_numpy(np.frombuffer(content, dtype).reshape(1, *self.shape).astype(kept))
        if self.divisor == 1.0:
            x, _ = checked_values(x, self.number, self.values, f"{self.path}, datum {row}", None)
        return arrange(x, self.layout)[0]


@lru_cache(maxsize=8)
def _descriptor(path: str, process: int) -> int:
    """An open file; each process has its own."""
    try:
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Bring the file back.") from error
