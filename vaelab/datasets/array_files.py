"""Arrays in .npy, .npz and .safetensors files: headers without the data, and never a pickle."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from vaelab.errors import DataError
from vaelab.limits import require_memory

Number = Literal["uint8", "bool", "integer", "float"]

SUFFIXES = (".npy", ".npz", ".safetensors")


@dataclass(frozen=True)
class Header:
    """Shape of an array and the kind of its numbers."""

    shape: tuple[int, ...]
    number: Number
    itemsize: int = 4


def keys(path: Path) -> list[str] | None:
    """Names of the arrays in a file, or None where it holds a single nameless one.

    Raises:
        DataError: it cannot be read.
    """
    with _explained(path):
        if path.suffix == ".npy":
            with path.open("rb"):
                return None
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                return [name.removesuffix(".npy") for name in archive.namelist()]
        from safetensors import safe_open

        with safe_open(path, framework="pt") as tensors:
            return list(tensors.keys())


def header(path: Path, key: str) -> Header:
    """Shape and type of an array, from the header alone.

    Raises:
        DataError: the file cannot be read, lacks the array, or holds something other than numbers under it.
    """
    _require(path, key)
    with _explained(path):
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as tensors:
                view = tensors.get_slice(key)
                # the size of a tensor was compared with that of the file when it was opened
                return Header(tuple(view.get_shape()), _of_safetensors(path, key, view.get_dtype()))
        if path.suffix == ".npy":
            with path.open("rb") as stream:
                return _npy_header(path, key, stream)
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as stream:
            return _npy_header(path, key, stream)


def read(path: Path, key: str) -> Tensor:
    """An array as a tensor: bytes and truth values as uint8, whole numbers as int64, others as float32.

    Raises:
        DataError: as `header`; or the data are cut off.
    """
    found = header(path, key)  # refuses what is no array of numbers before any of it is read
    to = {"uint8": torch.uint8, "bool": torch.uint8, "integer": torch.int64, "float": torch.float32}[found.number]
    with _explained(path):
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as tensors:
                loaded: Tensor = tensors.get_tensor(key)
                return loaded.to(to)
        size = math.prod(found.shape) * found.itemsize
        require_memory(2 * size, f"{path}: array '{key}'", "Give fewer data, or store them as bytes.", DataError)
        opened = np.load(path, allow_pickle=False)
        array = opened if isinstance(opened, np.ndarray) else opened[key]
        # through numpy's own cast, because torch knows neither foreign byte orders nor all unsigned types
        with np.errstate(over="ignore"):  # what becomes infinite is refused by the reader of the tensor
            cast = np.ascontiguousarray(array).astype(str(to).removeprefix("torch."), copy=False)
        return torch.from_numpy(cast)


def mapped(path: Path) -> np.memmap[Any, Any]:
    """A .npy file's array, of which nothing is read yet.

    Raises:
        DataError: it cannot be read, or is shorter than its header says.
    """
    with _explained(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        assert isinstance(array, np.memmap)
        return array


def _require(path: Path, key: str) -> None:
    known = keys(path)
    if known is not None and key not in known:
        raise DataError(f"{path} holds no array '{key}'. It holds: {', '.join(known) or 'none'}.")


def _npy_header(path: Path, key: str, stream: IO[bytes]) -> Header:
    version = npy.read_magic(stream)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise DataError(
            f"{path}: array '{key}' is in version {version[0]}.{version[1]} of the format, which is not known. Save it with numpy.save"
        )
    shape, _, dtype = readers[version](stream)
    if any(isinstance(length, bool) or length < 0 for length in shape):
        raise ValueError(f"the header of '{key}' has the shape {shape}")
    if dtype == np.uint8:
        return Header(shape, "uint8", 1)
    numbers: dict[str, Number] = {"b": "bool", "i": "integer", "u": "integer", "f": "float"}
    if dtype.kind not in numbers:
        raise _no_numbers(path, key, str(dtype))
    return Header(shape, numbers[dtype.kind], dtype.itemsize)


def _of_safetensors(path: Path, key: str, dtype: str) -> Number:
    if dtype == "U8":
        return "uint8"
    if dtype == "BOOL":
        return "bool"
    if dtype in ("F16", "BF16", "F32", "F64"):
        return "float"
    if dtype in ("I8", "I16", "I32", "I64", "U16", "U32", "U64"):
        return "integer"
    raise _no_numbers(path, key, dtype)


def _no_numbers(path: Path, key: str, dtype: str) -> DataError:
    return DataError(
        f"{path}: array '{key}' has the type {dtype}; only real numbers, bytes and truth values are read. "
        "Arrays of Python objects would have to be unpickled, which can run any code."
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: arrays are read from {', '.join(SUFFIXES)} files. Convert the data to one of these.")
    with explained(path):
        yield


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say of a file of arrays that it is damaged, whatever the library that reads it raises.

    Raises:
        DataError: it is.
    """
    from safetensors import SafetensorError

    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Give the path of a file of arrays.") from error
    except (
        OSError,
        ValueError,
        TypeError,
        SyntaxError,
        tokenize.TokenError,  # numpy reads the header of an .npy file as Python
        OverflowError,
        MemoryError,
        RuntimeError,  # an encrypted archive, or one packed in a way that is not known
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
        SafetensorError,
    ) as error:
        raise DataError(f"{path} cannot be read: {error}. Put an intact copy in its place.") from error
