"""Small data sets in the published file formats."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

Arrays = dict[str, np.ndarray]

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def tiny_arrays(train: int = 30, test: int = 12) -> Arrays:
    rng = np.random.default_rng(0)
    arrays = {}
    for images, labels, n in ((*IDX_NAMES[:2], train), (*IDX_NAMES[2:], test)):
        arrays[images] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[labels] = rng.integers(0, 10, n, dtype=np.uint8)
    return arrays


def write_idx(raw: Path, arrays: Arrays, gzipped: bool) -> None:
    raw.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        content = idx_bytes(array)
        if gzipped:
            (raw / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (raw / name).write_bytes(content)


@pytest.fixture(scope="session")
def idx() -> SimpleNamespace:
    """What writes small data sets in the format of MNIST."""
    return SimpleNamespace(names=IDX_NAMES, encode=idx_bytes, tiny=tiny_arrays, write=write_idx)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data in the environment: an empty cache, whose folder this returns, and no $VAELAB_DATA."""
    monkeypatch.delenv("VAELAB_DATA", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "vaelab"
