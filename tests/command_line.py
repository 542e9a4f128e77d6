"""The command line, run in a process of its own or in this one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from vaelab import cli
from vaelab.registry import FAMILIES

ROOT = Path(__file__).resolve().parents[1]

EXPERIMENT: dict[str, Any] = {
    "name": "tiny",
    "data": {"kind": "digits", "validation": 100},
    "model": {
        "encoder": {"kind": "mlp", "hidden": [16]},
        "posterior": "diagonal_normal",
        "prior": {"kind": "standard_normal", "dim": 2},
        "decoder": {"kind": "mlp", "hidden": [16]},
        "likelihood": {"kind": "bernoulli", "grey": True},
    },
    "training": {"epochs": 2, "batch_size": 64, "log_every": 5, "optimiser": {"kind": "adam", "lr": 0.01}},
    "evaluation": {
        "metrics": ["negative_elbo", {"kind": "importance_nll", "samples": 8}, "reconstruction", "active_units"],
        "figures": ["reconstructions", "samples", "traversals", "latents", "manifold", "curves"],
    },
}


@dataclass
class Done:
    code: int
    out: str
    err: str


Cli = Callable[..., Done]


def call(*arguments: str, cwd: Path) -> Done:
    """The command line in this process: a new one takes seconds to import torch."""
    # as the interpreter makes them: half a surrogate pair cannot be printed
    out, err = (
        io.TextIOWrapper(io.BytesIO(), "utf-8", how, newline="\n", write_through=True)
        for how in ("strict", "backslashreplace")
    )
    code = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["vaelab", *arguments])
        patch.setenv("COLUMNS", "200")
        patch.delenv("VAELAB_DATA", raising=False)
        patch.setattr(cli, "console", Console())
        patch.setattr(cli, "errors", Console(stderr=True))
        patch.setattr(sys, "path", list(sys.path))
        before = {family: dict(registry._entries) for family, registry in FAMILIES.items()}
        modules = set(sys.modules)
        try:
            cli.main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        finally:
            # what a plugin registered must not be seen by the next command
            for family, registry in FAMILIES.items():
                registry._entries = {
                    k: v for k, v in registry._entries.items() if k in before[family] or v.module.startswith("vaelab.")
                }
            for module in set(sys.modules) - modules:
                if module.startswith("my_package"):
                    del sys.modules[module]
    return Done(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))


def process(*arguments: str, cwd: Path) -> Done:
    """The command line in a process of its own."""
    environment = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment.pop("VAELAB_DATA", None)
    done = subprocess.run(
        [sys.executable, "-m", "vaelab", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        stdin=subprocess.DEVNULL,
    )
    return Done(done.returncode, done.stdout, done.stderr)
