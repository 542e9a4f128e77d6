"""Data several times larger than the memory that a process may use are streamed through it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SCRIPT = """
import json, resource, sys
import torch
from vaelab.registry import DATASETS
torch.set_num_threads(1)
config, allowed, batch = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
data = lambda limit: DATASETS.build(DATASETS._validate({**config, "memory_limit": limit, "workers": 0})).load().train
def used():
    return int([l for l in open("/proc/self/status") if l.startswith("VmData")][0].split()[1]) * 1024
next(data(0).batches(torch.arange(batch), batch))
resource.setrlimit(resource.RLIMIT_DATA, (used() + allowed,) * 2)
split = data(0)
total = sum(float(batch.x.sum()) for batch in split.batches(torch.randperm(len(split)), batch))
print(total)
try:
    data(2**40)
except (MemoryError, RuntimeError, Exception) as error:
    print("refused", type(error).__name__)
"""


def _array(folder: Path) -> tuple[dict[str, Any], int, int]:
    """384 MB, to be read by a process that may use 96 MB beyond what it used before."""
    path = folder / "large.npy"
    made = np.lib.format.open_memmap(path, "w+", np.uint8, (384 * 1024, 32, 32))
    for start in range(0, len(made), 4096):
        made[start : start + 4096] = np.random.default_rng(start).integers(0, 256, (4096, 32, 32), dtype=np.uint8)
    made.flush()
    return {"kind": "arrays", "path": str(path)}, 96 * 2**20, 256


def _pictures(folder: Path) -> tuple[dict[str, Any], int, int]:
    """192 MB once decoded, as 1,000 pictures of 256 x 256, by a process that may use 48 MB more."""
    (folder / "pictures").mkdir()
    for i in range(1000):
        block = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(32, 0).repeat(32, 1)
        Image.fromarray(block).save(folder / "pictures" / f"{i}.png", compress_level=1)
    return {"kind": "image_folder", "path": str(folder / "pictures"), "size": 256}, 48 * 2**20, 16


@pytest.mark.slow
@pytest.mark.parametrize("make", [_array, _pictures])
def test_memory_does_not_grow_with_the_data(tmp_path: Path, make: Any) -> None:
    config, allowed, batch = make(tmp_path)
    command = [sys.executable, "-c", SCRIPT, json.dumps(config), str(allowed), str(batch)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    total, refused = done.stdout.splitlines()
    assert float(total) > 0
    assert refused.startswith("refused")
