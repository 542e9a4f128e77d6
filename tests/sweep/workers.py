"""Small sweeps, and processes that work on them and die where they are told to."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TINY: dict[str, Any] = {
    "name": "tiny",
    "device": "cpu",
    "data": {"kind": "digits", "validation": 100, "train_limit": 128, "test_limit": 32},
    "model": {
        "encoder": {"kind": "mlp", "hidden": [8]},
        "posterior": "diagonal_normal",
        "prior": {"kind": "standard_normal", "dim": 2},
        "decoder": {"kind": "mlp", "hidden": [8]},
        "likelihood": {"kind": "bernoulli", "grey": True},
    },
    "training": {"epochs": 3, "batch_size": 64, "optimiser": {"kind": "adam", "lr": 0.01}},
    "evaluation": {"metrics": ["negative_elbo"], "figures": []},
}

LR = "training.optimiser.lr"
DIM = "model.prior.dim"


def sweep_of(**changes: Any) -> dict[str, Any]:
    """A grid of two by two on the small experiment, changed."""
    content = {
        "name": "small",
        "experiment": TINY,
        "space": {LR: {"choices": [0.01, 0.001]}, DIM: {"low": 2, "high": 3}},
        "method": "grid",
        **changes,
    }
    return {key: value for key, value in content.items() if value is not None}


#: Where a worker dies by SIGKILL: names of `_die`.
MOMENTS = ("training", "proposed", "evaluated", "recorded")


def _kill(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)


def _die(moment: str, trial: int) -> None:
    """Patch this process so that it dies in the given trial; it is forked for one test and patched for good."""
    from vaelab.sweep import study, watch

    if moment in ("training", "interrupt"):
        look = watch.Watch.log

        def die_in_training(self: Any, told: Any) -> None:
            look(self, told)
            seen = [line for line in self.directory.history() if line["split"] == "validation"]
            if self.job.trial.number == trial and len(seen) == 2:
                _kill(signal.SIGINT if moment == "interrupt" else signal.SIGKILL)

        watch.Watch.log = die_in_training
    elif moment == "proposed":
        claim = study.Study._claim

        def die_before_claim(self: Any, of: Any, seed: int) -> Any:
            return _kill() if of.number == trial else claim(self, of, seed)

        study.Study._claim = die_before_claim
    else:
        record = study.Study.record

        def die_around_record(self: Any, of: Any, seed: int, outcome: Any) -> None:
            if moment == "recorded" or of.number != trial:
                record(self, of, seed, outcome)
            if of.number == trial:
                _kill()

        study.Study.record = die_around_record


def work(content: dict[str, Any], out: str, moment: str | None = None, trial: int = 0) -> None:
    """Work on a sweep."""
    import torch

    from vaelab.sweep import run_sweep

    torch.set_num_threads(1)
    if moment is not None:
        _die(moment, trial)
    run_sweep(content, out)


def command(arguments: list[str], folder: str, moment: str | None = None, trial: int = 0) -> None:
    """The command line, whose exit code is the process's."""
    import torch

    from vaelab import cli

    torch.set_num_threads(1)
    os.chdir(folder)
    if moment is not None:
        _die(moment, trial)
    sys.argv = ["vaelab", *arguments]
    cli.main()


def start(target: Callable[..., None], *arguments: Any) -> multiprocessing.process.BaseProcess:
    """A process forked from one that has imported everything and done nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sweep.preload"])
    process = context.Process(target=target, args=arguments)
    with pytest.MonkeyPatch.context() as patch:
        # the server is started with the first process, and finds what it preloads by this alone
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        process.start()
    return process


def finished_runs(folder: Path) -> list[Path]:
    """The run directories of a sweep."""
    return sorted(path.parent for path in folder.glob("runs/*/*/config.json"))
