"""Short runs of awkward models, and the processes that do them and are killed."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from sweep.workers import start

MLP = {"kind": "mlp", "hidden": [16]}
_MODEL = {
    "encoder": MLP,
    "posterior": "diagonal_normal",
    "prior": {"kind": "standard_normal", "dim": 4},
    "decoder": MLP,
    "likelihood": "bernoulli",
}

#: What has more state than weights: a mean of the weights, early stopping, schedules, a second player, code books.
EXPERIMENTS: dict[str, dict[str, Any]] = {
    "baseline": {
        "model": _MODEL,
        "objective": {"kind": "elbo", "divergences": [{"kind": "kl", "weight": {"kind": "linear", "steps": 30}}]},
        "training": {"ema": 0.9, "early_stopping": {"metric": "negative_elbo", "patience": 3}},
    },
    "adversarial": {
        "model": _MODEL,
        "objective": {"kind": "elbo", "divergences": ["kl", {"kind": "adversarial_tc", "hidden": [8]}]},
        "training": {"optimiser": {"kind": "adam", "lr": {"kind": "cosine", "start": 0.01}}},
    },
    "codes": {
        "model": {
            "encoder": {"kind": "conv", "channels": [4, 8], "hidden": []},
            "posterior": "vq",
            "prior": {"kind": "uniform_codes", "codes": 8, "dim": 4, "positions": [2, 2]},
            "decoder": {"kind": "conv", "channels": [8, 4]},
            "likelihood": "bernoulli",
        },
        "objective": {"kind": "elbo", "divergences": ["kl", "commitment"]},
        "training": {"early_stopping": {"metric": "negative_elbo", "patience": 2}},
    },
    "hierarchy": {
        "model": {
            "encoder": {"kind": "pyramid", "width": 8},
            "posterior": "diagonal_normal",
            "prior": {
                "kind": "top_down",
                "top": {"kind": "vamp", "dim": 3, "pseudo_inputs": 4},
                "groups": [4],
                "width": 8,
            },
            "decoder": MLP,
            "likelihood": "bernoulli",
        },
        "training": {"accumulate": 2, "ema": 0.99, "optimiser": "adamax"},
    },
}


def experiment(name: str, epochs: int = 6, figures: tuple[str, ...] = ("samples", "curves")) -> dict[str, Any]:
    """One of the experiments, for some seconds."""
    chosen = EXPERIMENTS[name]
    training = {"epochs": epochs, "batch_size": 32, "log_every": 2, "checkpoint_every": 3, **chosen["training"]}
    return {
        "name": name,
        "device": "cpu",
        "seed": 7,
        "data": {
            "kind": "digits",
            "binarisation": "dynamic",
            "validation": 100,
            "train_limit": 250,
            "test_limit": 50,
        },
        **chosen,
        "training": training,
        "evaluation": {"metrics": ["negative_elbo"], "figures": list(figures)},
    }


def begun(out: Path) -> list[Path]:
    """The run directories in a folder."""
    return sorted(path.parent for path in out.glob("*/*/config.json"))


def go_on(content: dict[str, Any], out: str) -> None:
    """Begin a run, or go on with the one that was begun. For a process of its own."""
    import torch

    import vaelab

    torch.set_num_threads(1)
    # what is left of the process's own random state must not matter
    torch.manual_seed(random.SystemRandom().randrange(2**31))
    runs = begun(Path(out))
    if runs:
        vaelab.resume(runs[-1])
    else:
        vaelab.train(content, out)


def finished(content: dict[str, Any], out: Path) -> float:
    """Do a run to its end, and say how many seconds it took."""
    started = time.monotonic()
    process = start(go_on, content, str(out))
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - started


def killed(content: dict[str, Any], out: Path, after: float, lines: int = 0, *, weights: bool = False) -> bool:
    """Do or go on with a run, and kill it after some seconds; False where it had ended by then.

    Args:
        content: of the experiment.
        out: folder of the run.
        after: seconds.
        lines: of metrics.jsonl that must be there before the seconds are counted, so that the training is met as well.
        weights: whether those of the trained model must be there, so that the evaluation is met.
    """
    process = start(go_on, content, str(out))
    while process.exitcode is None and (_lines(out) < lines or (weights and not _trained(out))):
        process.join(0.002)
    process.join(after)
    if process.exitcode is None:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _lines(out: Path) -> int:
    return sum(
        (run / "metrics.jsonl").read_text().count("\n") for run in begun(out) if (run / "metrics.jsonl").exists()
    )


def _trained(out: Path) -> bool:
    return any((run / "weights.safetensors").exists() for run in begun(out))
