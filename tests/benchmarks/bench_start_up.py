"""How long commands take to start, beside what importing torch alone takes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

BASELINE = "experiments/baseline.json"
#: Goals in seconds, in all and beyond `import torch`. What imports no torch is faster than it.
IN_ALL = {"--help": 0.3}
BEYOND = {"list": 0.5, "show prior vamp": 0.5, f"validate {BASELINE}": 0.5}


@pytest.mark.benchmark(timer=time.perf_counter)
def bench_commands(benchmark: Any) -> None:
    """Medians, with the byte code of vaelab in its place, as after the first use of an installation."""
    commands = {"torch": ["-c", "import torch"], **{c: ["-m", "vaelab", *c.split()] for c in (*IN_ALL, *BEYOND)}}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    seconds: dict[str, list[float]] = {name: [] for name in commands}

    def run() -> None:
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True, env=environment)
            seconds[name].append(time.perf_counter() - start)

    benchmark.pedantic(run, rounds=9, warmup_rounds=1)
    found = {name: median(times[1:]) for name, times in seconds.items()}
    benchmark.extra_info |= found
    print(f"\nimport torch {found['torch']:.2f} s")
    for name, goal in IN_ALL.items():
        print(f"{name} {found[name]:.2f} s; goal {goal} s")
    for name, goal in BEYOND.items():
        print(f"{name} {found[name] - found['torch']:.2f} s beyond it; goal {goal} s")


@pytest.mark.benchmark(timer=time.perf_counter)
def bench_first_step(benchmark: Any, tmp_path: Path) -> None:
    """From the launch of the command to the first step, data cached; torch's import is most of it."""
    script = """
import os, sys, time
from pathlib import Path
start = time.perf_counter()
import vaelab
import vaelab.training.update as update
real = update.Update.take
def take(self, *args):
    real(self, *args)
    print(time.perf_counter() - start, flush=True)
    os._exit(0)
update.Update.take = take
vaelab.train(sys.argv[1], Path(sys.argv[2]))
"""
    torch_alone = "import time; start = time.perf_counter(); import torch; print(time.perf_counter() - start)"
    seconds: list[float] = []
    alone: list[float] = []

    def run() -> None:
        for code, times, more in ((torch_alone, alone, []), (script, seconds, [BASELINE, str(tmp_path)])):
            done = subprocess.run([sys.executable, "-c", code, *more], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            times.append(float(done.stdout.splitlines()[-1]))

    benchmark.pedantic(run, rounds=3)
    benchmark.extra_info |= {"first_step": min(seconds), "torch_import": min(alone)}
    print(f"\nfirst step {min(seconds):.2f} s after the start, of which torch's import {min(alone):.2f} s; goal 3 s")
