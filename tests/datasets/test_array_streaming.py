"""Arrays that are streamed are those that lie in memory, and take memory for a few batches alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vaelab.datasets.arrays import Arrays, ArraysConfig
from vaelab.datasets.memory import MemorySplit
from vaelab.datasets.streaming import StreamingSplit
from vaelab.errors import DataError


def write(path: Path, kind: str, count: int = 40) -> Path:
    numbers = np.random.default_rng(0)
    made: dict[str, Any] = {
        "bytes": numbers.integers(0, 256, (count, 6, 5), dtype=np.uint8),
        "bits": numbers.integers(0, 2, (count, 6, 5)).astype(bool),
        "unit": numbers.random((count, 6, 5)),
        "real": numbers.standard_normal((count, 6, 5, 3)).astype(">f4"),
    }
    np.save(path / f"{kind}.npy", made[kind])
    return path / f"{kind}.npy"


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("bytes", {}),
        ("bytes", {"binarisation": "static"}),
        ("bits", {}),
        ("unit", {"binarisation": "threshold"}),
        ("real", {"values": "real", "layout": "hwc"}),
    ],
)
def test_streamed_data_are_those_in_memory(tmp_path: Path, kind: str, more: dict[str, Any]) -> None:
    config = {"path": str(write(tmp_path, kind)), "validation": 4, "workers": 0, **more}
    kept = Arrays(ArraysConfig.model_validate(config)).load()
    streamed = Arrays(ArraysConfig.model_validate({**config, "memory_limit": 100})).load()
    assert isinstance(kept.train, MemorySplit)
    assert isinstance(streamed.train, StreamingSplit)
    order = torch.randperm(len(kept.train))
    for ours, theirs in zip(streamed.train.batches(order, 7), kept.train.batches(order, 7), strict=True):
        assert torch.equal(ours.x, theirs.x)
    assert torch.equal(streamed.test.fetch(torch.arange(3)).x, kept.test.fetch(torch.arange(3)).x)
    assert streamed.provenance["files"] == kept.provenance["files"]


def test_what_cannot_be_streamed_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "unit")
    config = {"path": str(path), "memory_limit": 0, "workers": 0}
    with pytest.raises(DataError, match="are not streamed"):
        Arrays(ArraysConfig.model_validate({**config, "missing": True})).load()
    split = Arrays(ArraysConfig.model_validate({**config, "values": "binary"})).load().train
    with pytest.raises(DataError, match=r"datum \d+ was declared binary"):
        split.fetch(torch.arange(1))
    np.save(path, np.asfortranarray(np.zeros((9, 4, 3), np.float32)))
    with pytest.raises(DataError, match="Fortran"):
        Arrays(ArraysConfig.model_validate(config)).load()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    """A file of 384 MB is read, checked and trained on by a process that may use 96 MB beyond what it used before."""
    path = tmp_path / "large.npy"
    made = np.lib.format.open_memmap(path, "w+", np.uint8, (384 * 1024, 32, 32))
    for start in range(0, len(made), 4096):
        made[start : start + 4096] = np.random.default_rng(start).integers(0, 256, (4096, 32, 32), dtype=np.uint8)
    made.flush()
    del made
    script = """
import resource, sys
import torch
from vaelab.datasets.arrays import Arrays, ArraysConfig
torch.set_num_threads(1)
data = lambda path, workers: Arrays(ArraysConfig(path=path, memory_limit=2**20, workers=workers)).load().train
def used():
    return int([l for l in open("/proc/self/status") if l.startswith("VmData")][0].split()[1]) * 1024
split = data(sys.argv[1], 0)
next(split.batches(torch.arange(256), 256))
resource.setrlimit(resource.RLIMIT_DATA, (used() + 96 * 2**20,) * 2)
split = data(sys.argv[1], 0)
total = sum(float(batch.x.sum()) for batch in split.batches(torch.randperm(len(split)), 256))
print(total)
try:
    Arrays(ArraysConfig(path=sys.argv[1], memory_limit=2**40)).load()
except (MemoryError, RuntimeError, Exception) as error:
    print("refused", type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    total, refused = done.stdout.splitlines()
    assert float(total) > 0
    assert refused.startswith("refused")
