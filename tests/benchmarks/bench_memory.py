"""Memory that a training needs beside torch, data and weights: bounded, and the same after any number of steps."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

#: Bytes that 1,000 steps may add; the allocator's pages come and go.
GROWTH = 2 * 2**20
#: Bytes for a file being written, lines, a bar, and what the allocator keeps, beside the tensors that are counted.
REST = 48 * 2**20

SCRIPT = """
import json, sys, threading
from pathlib import Path
folder = Path(sys.argv[1])
sys.path.insert(0, sys.argv[2])
import torch
from ours import CPU, digits, experiment_of, training
from vaelab.runs import load_data
torch.set_num_threads(1)
torch.ones(64, 784, requires_grad=True).matmul(torch.ones(784, 8)).sum().backward()  # what torch itself allocates
net = {"kind": "mlp", "hidden": [200]}
experiment = experiment_of(net, net, 20, 64, 6400, data=digits(6400), training={"ema": 0.999, "steps": 2200, "epochs": None})
data = load_data(experiment, CPU)
def used(what):
    return int([l for l in open("/proc/self/status") if l.startswith(what)][0].split()[1]) * 1024
from vaelab.build import build
import tensorboard, torch.utils.tensorboard, vaelab.health, vaelab.session
before = used("VmRSS")
with training(experiment, folder, data) as trainer:
    seen = {}
    advance = trainer.reporter.advance
    def look(step):
        advance(step)
        if step in (1, 200, 1200, 2200):
            seen[step] = used("VmRSS")
    trainer.reporter.advance = look
    trainer.train()
    weights = sum(p.numel() * p.element_size() for p in trainer.model.parameters())
print(json.dumps({"before": before, "seen": seen, "weights": weights, "peak": used("VmHWM")}))
"""


@pytest.mark.benchmark(timer=time.perf_counter)
def bench_memory(benchmark: Any, tmp_path: Path) -> None:
    def run() -> dict[str, Any]:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(Path(__file__).parent)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    found = benchmark.pedantic(run, rounds=1)
    growth = found["seen"]["2200"] - found["seen"]["1200"]
    extra = found["seen"]["2200"] - found["before"]
    # weights, gradients, two moments and a running mean; and a checkpoint holds no copy of them
    counted = 5 * found["weights"]
    benchmark.extra_info |= {"growth": growth, "extra": extra, "weights": found["weights"], "limit": counted + REST}
    mb = 2**20
    print(
        f"\nweights {found['weights'] / mb:.1f} MB, beyond torch and data {extra / mb:.1f} MB, limit {(counted + REST) / mb:.1f} MB"
    )
    print(f"1,000 steps add {growth / mb:.2f} MB, limit {GROWTH / mb:.0f} MB")
    assert growth <= GROWTH
    assert extra <= counted + REST
