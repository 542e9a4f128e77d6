"""The IDX file format of MNIST and its kin, gzipped or not."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from vaelab.errors import DataError

#: The two bytes after the zeros of the magic number: unsigned bytes.
_UINT8 = 0x08


def read_idx(path: Path, ndim: int, most: int = 2**31) -> Tensor:
    """A uint8 tensor with `ndim` axes and `most` numbers at most from an IDX file.

    Raises:
        DataError: the file cannot be read, is no IDX file of bytes with so many axes, or is too short or too
            long.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as stream:
            return _read(stream, path, ndim, most)  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}. Delete it, or put an intact copy in its place.") from error


def _read(stream: BinaryIO, path: Path, ndim: int, most: int) -> Tensor:
    magic = stream.read(4)
    if magic != bytes([0, 0, _UINT8, ndim]):
        raise DataError(
            f"{path} is no IDX file of bytes with {ndim} axes: it begins with {magic.hex()}, "
            f"not 0000{_UINT8:02x}{ndim:02x}. Put an intact copy in its place."
        )
    header = stream.read(4 * ndim)
    if len(header) < 4 * ndim:
        raise DataError(f"{path} is truncated: it ends within its header. Put an intact copy in its place.")
    shape = tuple(int(size) for size in np.frombuffer(header, dtype=">u4"))
    expected = math.prod(shape)
    if expected > most:
        raise DataError(
            f"{path}: its header promises {' x '.join(map(str, shape))} bytes, and {most:,} are the most that it may hold. Put an "
            "intact copy in its place."
        )
    payload = bytearray(stream.read(expected + 1))  # a byte more than there should be shows what is too long
    if len(payload) != expected:
        what = "truncated" if len(payload) < expected else "too long"
        promised = " x ".join(map(str, shape))
        raise DataError(
            f"{path} is {what}: its header promises {promised} bytes of data. Put an intact copy in its place."
        )
    if not expected:
        raise DataError(f"{path} holds no data. Put an intact copy in its place.")
    return torch.frombuffer(payload, dtype=torch.uint8).reshape(shape)
