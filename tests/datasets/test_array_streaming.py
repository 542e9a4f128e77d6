"""Arrays that are streamed are those that lie in memory, and take memory for a few batches alone."""

from __future__ import annotations

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
