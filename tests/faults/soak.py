"""Does a long training stay flat in memory and speed, and does a sweep leave nothing open behind?

python tests/faults/soak.py training --steps 200000
python tests/faults/soak.py sweep --runs 200
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

import vaelab
from vaelab.sweep import run_sweep
from vaelab.trackers import RunInfo, Tracker
from vaelab.training import StoppedError


def experiment(**training: Any) -> dict[str, Any]:
    """A training of a model so small that what surrounds the model is most of the work."""
    return {
        "name": "soak",
        "device": "cpu",
        "data": {"kind": "digits", "binarisation": "dynamic", "validation": 100, "train_limit": 1600, "test_limit": 50},
        "model": {
            "encoder": {"kind": "mlp", "hidden": [8]},
            "posterior": "diagonal_normal",
            "prior": {"kind": "standard_normal", "dim": 2},
            "decoder": {"kind": "mlp", "hidden": [8]},
            "likelihood": "bernoulli",
        },
        "training": {"batch_size": 16, "optimiser": {"kind": "adam", "lr": 0.001}, **training},
        "evaluation": {"metrics": ["negative_elbo"], "figures": [], "report": False},
    }


class Gauge(Tracker[Any]):
    """Notes memory and time at each line of the training, and stops it after some seconds."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.steps: list[int] = []
        self.bytes: list[int] = []
        self.seconds: list[float] = []
        self.yardstick: list[float] = []
        self.spent = 0.0

    def start(self, run: RunInfo) -> None:
        self.begun = time.perf_counter()

    def log(self, line: Mapping[str, Any]) -> None:
        if line["split"] == "train":
            self.steps.append(line["step"])
            self.bytes.append(resident())
            # of the processor: how much of it others leave is not what is measured
            before = time.process_time()
            self.seconds.append(before - self.spent)
            fixed_work()
            self.yardstick.append(time.process_time() - before)
            self.spent += self.yardstick[-1]
            if time.perf_counter() - self.begun > self.limit:
                raise StoppedError("the time is up")

    def figure(self, name: str, path: Path) -> None: ...

    def finish(self, summary: Mapping[str, float]) -> None: ...

    def close(self, *, failed: bool) -> None: ...


def fixed_work() -> None:
    """Short operations, as a step has them. How long they take tells how much of the caches others leave."""
    small = torch.ones(16, 64)
    for _ in range(300):
        small = (small @ small.T @ small).softmax(-1)


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Soaked:
    """What a training showed.

    Attributes:
        steps: that it took.
        first: bytes at the end of the first quarter.
        last: bytes at the end.
        slope: bytes a step over the last three quarters.
        slope_stderr: its standard error, over the slopes of ten successive parts.
        speeds: steps a second of the processor in each quarter.
        yardstick: seconds that the same fixed work took in each quarter, the median.
    """

    steps: int
    first: int
    last: int
    slope: float
    slope_stderr: float
    speeds: tuple[float, ...]
    yardstick: tuple[float, ...]

    @property
    def kept(self) -> float:
        """Speed of the last quarter relative to the first, in units of the fixed work's speed."""
        return self.speeds[-1] * self.yardstick[-1] / (self.speeds[0] * self.yardstick[0])


def soak(
    steps: int, out: Path, trackers: Sequence[Mapping[str, Any]], log_every: int = 100, limit: float = float("inf")
) -> Soaked:
    """Train for so many steps, or seconds, with these trackers on."""
    gauge = Gauge(limit)
    content = experiment(steps=steps, log_every=log_every, validate_every=20, checkpoint_every=2000)
    with suppress(StoppedError):
        vaelab.train({**content, "trackers": list(trackers)}, out, trackers=(gauge,))
    return measured(gauge)


def measured(gauge: Gauge) -> Soaked:
    """The slope of the memory and the speed of each quarter."""
    steps, memory, seconds = np.array(gauge.steps), np.array(gauge.bytes), np.array(gauge.seconds)
    late = steps > steps[-1] / 4
    # residuals depend on each other, so those of one fit would make the standard error too small
    parts = [
        np.polyfit(s, m, 1)[0] for s, m in zip(*(np.array_split(x[late], 10) for x in (steps, memory)), strict=True)
    ]
    bounds = [0, *(int(np.searchsorted(steps, steps[-1] * q / 4)) for q in (1, 2, 3, 4))]
    speeds = [float((steps[b] - steps[a]) / (seconds[b] - seconds[a])) for a, b in pairwise(bounds)]
    fixed = [statistics.median(gauge.yardstick[a:b]) for a, b in pairwise(bounds)]
    slope = float(np.polyfit(steps[late], memory[late], 1)[0])
    stderr = statistics.stdev(map(float, parts)) / len(parts) ** 0.5
    return Soaked(int(steps[-1]), int(memory[bounds[1]]), int(memory[-1]), slope, stderr, tuple(speeds), tuple(fixed))


@dataclass(frozen=True)
class Open:
    """What this process holds: file handles, threads, child processes."""

    files: int
    threads: int
    children: int

    @classmethod
    def now(cls) -> Open:
        """As of now."""
        tasks = Path("/proc/self/task").iterdir()
        children = sum(len((task / "children").read_text().split()) for task in tasks)
        return cls(len(os.listdir("/proc/self/fd")), threading.active_count(), children)


def sweep(runs: int, out: Path) -> tuple[Open, Open]:
    """What is open after a sweep of two runs, and after one of so many."""

    def content(name: str, number: int) -> dict[str, Any]:
        return {
            "name": name,
            "experiment": experiment(steps=2),
            "space": {"training.optimiser.lr": {"low": 0.0001, "high": 0.01, "log": True}},
            "method": "random",
            "trials": number,
        }

    run_sweep(content("few", 2), out)  # what libraries open once is open now
    before = Open.now()
    run_sweep(content("many", runs), out)
    return before, Open.now()


def main() -> int:
    """The exit code is 1 where something grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("training", "sweep"))
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--trackers", nargs="*", default=["tensorboard", "wandb"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "sweep":
            before, after = sweep(arguments.runs, Path(folder))
            print(f"after 2 runs {before}, after {arguments.runs} more {after}")
            return int(after != before)
        found = soak(
            arguments.steps, Path(folder), [{"kind": kind} for kind in arguments.trackers], limit=arguments.seconds
        )
    print(json.dumps(found.__dict__))
    print(
        f"{found.steps:,} steps: memory {found.first / 2**20:.1f} MiB after a quarter, {found.last / 2**20:.1f} MiB at the end, "
        f"{found.slope:.2f} ± {found.slope_stderr:.2f} bytes a step; "
        f"speed of the last against the first quarter {found.speeds[-1] / found.speeds[0]:.3f}, "
        f"and {found.kept:.3f} relative to the same fixed work"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
