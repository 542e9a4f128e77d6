"""Small experiments that train in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vaelab.build import build
from vaelab.config import Experiment, parse_experiment
from vaelab.training import Reporter, Trainer
from vaelab.types import DataSplits

MLP = {"kind": "mlp", "hidden": [16]}
BITS = {"kind": "bernoulli"}

#: Models that are awkward to resume: a second player, running code books, a hierarchy with averaged weights.
MODELS: dict[str, dict[str, Any]] = {
    "flat": {
        "encoder": MLP,
        "posterior": "diagonal_normal",
        "prior": {"kind": "standard_normal", "dim": 4},
        "decoder": MLP,
        "likelihood": BITS,
    },
    "codes": {
        "encoder": {"kind": "conv", "channels": [4, 8], "hidden": []},
        "posterior": "vq",
        "prior": {"kind": "uniform_codes", "codes": 8, "dim": 4, "positions": [2, 2]},
        "decoder": {"kind": "conv", "channels": [8, 4]},
        "likelihood": BITS,
    },
    "hierarchy": {
        "encoder": {"kind": "pyramid", "width": 8},
        "posterior": "diagonal_normal",
        "prior": {"kind": "top_down", "top": {"kind": "vamp", "dim": 3, "pseudo_inputs": 4}, "groups": [4], "width": 8},
        "decoder": MLP,
        "likelihood": BITS,
    },
}

OBJECTIVES: dict[str, Any] = {
    "elbo": {"kind": "elbo", "divergences": [{"kind": "kl", "weight": {"kind": "linear", "steps": 7}}]},
    "adversary": {"kind": "elbo", "divergences": ["kl", {"kind": "adversarial_tc", "hidden": [8]}]},
    "codes": {"kind": "elbo", "divergences": ["kl", "commitment"]},
    "iwae": {"kind": "iwae", "samples": 3},
}


class Recorder(Reporter):
    """Remembers what a trainer reports."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.steps: list[int] = []
        self.on_step: Callable[[int], None] = lambda step: None

    def advance(self, step: int) -> None:
        self.steps.append(step)
        self.on_step(step)

    def line(self, line: dict[str, Any]) -> None:
        self.lines.append(line)


def make_experiment(model: str = "flat", objective: str = "elbo", **training: Any) -> Experiment:
    """An experiment on made-up data; the data section is not used."""
    return parse_experiment(
        {
            "data": {"kind": "digits", "binarisation": "threshold"},
            "model": MODELS[model],
            "objective": OBJECTIVES[objective],
            "training": {"epochs": 3, "batch_size": 10, "log_every": 2, **training},
        }
    )


@pytest.fixture
def models() -> dict[str, dict[str, Any]]:
    """The models by name; a test may add its own with monkeypatch."""
    return MODELS


@pytest.fixture
def objectives() -> dict[str, Any]:
    """The objectives, likewise."""
    return OBJECTIVES


@pytest.fixture
def make_trainer(tmp_path: Path, tiny_splits: Callable[..., DataSplits]) -> Callable[..., tuple[Trainer, Recorder]]:
    """Makes a trainer and what it reports to: `make_trainer("flat", "elbo", epochs=3)`."""

    def make(
        model: str = "flat",
        objective: str = "elbo",
        *,
        folder: str = "checkpoints",
        data: DataSplits | None = None,
        seed: int = 3,
        **training: Any,
    ) -> tuple[Trainer, Recorder]:
        experiment = make_experiment(model, objective, **training)
        data = data or tiny_splits()
        torch.manual_seed(seed)
        built, built_objective = build(experiment.model, experiment.objective, data.train.spec)
        recorder = Recorder()
        trainer = Trainer(
            built, built_objective, data, experiment.training, seed=seed, folder=tmp_path / folder, reporter=recorder
        )
        return trainer, recorder

    return make
