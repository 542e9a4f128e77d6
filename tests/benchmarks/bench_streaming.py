"""Data that are streamed beside the same data in memory, for a convolutional model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contest import contest
from ours import epochs, experiment_of, training
from PIL import Image

SIDE, NUMBER, BATCH = 64, 2560, 128
CONV = {"kind": "conv", "channels": [32, 64], "hidden": [256]}


def _pictures() -> np.ndarray:
    """Smooth pictures, whose files are about as large as photographs' of that size."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (NUMBER, 8, 8, 3)).repeat(8, 1).repeat(8, 2)
    return np.clip(coarse + generator.normal(0, 8, coarse.shape), 0, 255).astype(np.uint8)


def _folder(path: Path) -> dict[str, Any]:
    (path / "pictures").mkdir()
    for i, picture in enumerate(_pictures()):
        Image.fromarray(picture).save(path / "pictures" / f"{i:05}.png")
    return {"kind": "image_folder", "path": str(path / "pictures"), "size": SIDE, "test_fraction": 0.01}


def _array(path: Path) -> dict[str, Any]:
    np.save(path / "pictures.npy", _pictures())
    return {"kind": "arrays", "path": str(path / "pictures.npy"), "layout": "hwc", "test_fraction": 0.01}


@pytest.mark.benchmark(timer=time.perf_counter)
@pytest.mark.parametrize(("name", "make"), [("streamed pictures", _folder), ("streamed array", _array)])
def bench_streaming(benchmark: Any, name: str, make: Any, tmp_path: Path) -> None:
    data = make(tmp_path)
    net: dict[str, Any] = {
        "encoder": CONV,
        "decoder": {**CONV, "channels": [64, 32]},
        "dim": 20,
        "batch": BATCH,
        "limit": NUMBER,
    }
    net["likelihood"] = {"kind": "bernoulli", "grey": True}
    streamed = experiment_of(**net, data={**data, "memory_limit": 0})
    in_memory = experiment_of(**net, data=data)
    with training(in_memory, tmp_path) as memory, training(streamed, tmp_path) as stream:
        assert type(stream.data.train) is not type(memory.data.train)
        contest(benchmark, name, epochs(stream), {"in memory": epochs(memory)}, 3, clock=time.perf_counter)
