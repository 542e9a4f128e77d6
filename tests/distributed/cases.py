"""Small trainings whose outcome must not depend on how many processes share a batch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab import shared_batch
from vaelab.build import build
from vaelab.config import parse_experiment
from vaelab.datasets.memory import MemorySplit
from vaelab.processes import Processes
from vaelab.training import Reporter, Trainer
from vaelab.training.update import Update
from vaelab.types import Batch, DataSpec, DataSplits

MLP = {"kind": "mlp", "hidden": [12]}
FLAT = {
    "encoder": MLP,
    "posterior": "diagonal_normal",
    "prior": {"kind": "standard_normal", "dim": 4},
    "decoder": MLP,
    "likelihood": "bernoulli",
}
CODES = FLAT | {
    "encoder": {"kind": "conv", "channels": [4, 8], "hidden": []},
    "posterior": {"kind": "vq", "threshold_dead": None, "decay": 0.8},
    "prior": {"kind": "uniform_codes", "codes": 8, "dim": 4, "positions": [2, 2]},
    "decoder": {"kind": "conv", "channels": [8, 4]},
}
HIERARCHY = FLAT | {
    "encoder": {"kind": "pyramid", "width": 8},
    "prior": {"kind": "top_down", "top": {"kind": "vamp", "dim": 3, "pseudo_inputs": 4}, "groups": [4], "width": 8},
}
NORMS = FLAT | {
    "encoder": {"kind": "dcgan", "channels": 4, "levels": 2},
    "decoder": {"kind": "dcgan", "channels": 4, "levels": 2},
    "prior": {"kind": "vamp", "dim": 4, "pseudo_inputs": 5},
}
DIRAC = FLAT | {"posterior": "dirac"}


@dataclass(frozen=True)
class Case:
    """A model, what it minimises, and how it is trained."""

    model: dict[str, Any]
    objective: Any = "elbo"
    training: dict[str, Any] = field(default_factory=dict)
    data: str = "bits"


def terms(*divergences: Any, **more: Any) -> dict[str, Any]:
    return {"kind": "elbo", "divergences": list(divergences), **more}


CASES: dict[str, Case] = {
    "averaged": Case(FLAT, training={"ema": 0.9, "gradient_clip": 1.0}),
    "adversary": Case(FLAT, terms("kl", {"kind": "adversarial_tc", "hidden": [8]})),
    "codes": Case(CODES, terms("kl", "commitment")),
    "norms": Case(NORMS),
    "hierarchy": Case(HIERARCHY, training={"ema": 0.9}),
    "accumulated": Case(FLAT, training={"accumulate": 2}),
    "sum": Case(FLAT, terms("kl", reduction="sum"), {"gradient_clip": 1.0}),
    "iwae": Case(FLAT, {"kind": "iwae", "samples": 3}),
    "inference_player": Case(FLAT, {"kind": "piwae", "samples": 2, "outer": 2}),
    "optimal_scale": Case(FLAT | {"likelihood": {"kind": "normal", "sigma": "optimal"}}),
    "kmeans": Case(
        CODES | {"posterior": {"kind": "vq", "threshold_dead": None, "initialisation": "kmeans"}},
        terms("kl", "commitment"),
    ),
    "residual_codes": Case(
        CODES
        | {
            "posterior": {"kind": "residual_vq", "quantisers": 3, "threshold_dead": None},
            "prior": {"kind": "uniform_codes", "codes": 8, "dim": 4, "positions": [2, 2]},
        },
        terms("kl", "commitment"),
    ),
    "beta_tc": Case(FLAT, terms("beta_tc")),
    "beta_tc_weighted": Case(FLAT, terms({"kind": "beta_tc", "estimator": "weighted"})),
    "information": Case(FLAT, terms("kl", {"kind": "mutual_information", "weight": -0.5}, "marginal_kl")),
    "dip": Case(FLAT, terms("kl", "dip", {"kind": "dip", "version": "i"})),
    "mmd": Case(DIRAC, terms("mmd")),
    "sliced": Case(DIRAC, terms({"kind": "sliced_wasserstein", "projections": 5})),
    "sinkhorn": Case(FLAT, terms({"kind": "sinkhorn", "iterations": 8})),
    "capacity": Case(FLAT, terms({"kind": "capacity", "capacity": 1.0, "weight": 5.0})),
    "free_bits": Case(HIERARCHY, terms({"kind": "free_bits", "nats": 0.05})),
    "controlled": Case(FLAT, terms({"kind": "controlled_kl", "target": 3.0, "integral": 0.05})),
    "adversarial_latent": Case(FLAT, terms({"kind": "adversarial_latent", "hidden": [8]})),
    "pairs": Case(
        FLAT, {"kind": "weakly_supervised", "divergences": [{"kind": "beta_tc", "estimator": "weighted"}]}, data="pairs"
    ),
    "riemannian": Case(
        FLAT | {"posterior": {"kind": "riemannian_hamiltonian", "steps": 2, "centroids": 14, "iterations": 2}}
    ),
    "spectral": Case(FLAT | {"decoder": {"kind": "spectral_norm", "decoder": MLP}}),
}


#: A run with all that a run has, small: one validation an epoch, and an evaluation in four batches.
RUN = {
    "name": "shared",
    "data": {"kind": "digits", "binarisation": "dynamic", "train_limit": 205, "validation": 100},
    "model": HIERARCHY,
    "training": {
        "epochs": 4,
        "batch_size": 51,
        "ema": 0.9,
        "log_every": 3,
        "early_stopping": {"patience": 5},
        "validation": ["negative_elbo", {"kind": "active_units", "samples": 2}],
    },
    "evaluation": {
        "metrics": [
            "negative_elbo",
            {"kind": "importance_nll", "samples": 3},
            "reconstruction",
            {"kind": "active_units"},
        ],
        "figures": ["reconstructions"],
        "batch_size": 100,
        "report": False,
    },
}


class Recorder(Reporter):
    """Remembers what the main process reports."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def line(self, line: dict[str, Any]) -> None:
        self.lines.append(line)


class Paired(MemorySplit):
    """Each datum comes with the one in the opposite corner of its values."""

    def fetch(self, index: Tensor) -> Batch:
        batch = super().fetch(index)
        return replace(batch, companion=Batch(1 - batch.x))


def splits(kind: str, number: int = 41) -> DataSplits:
    """41 data: with batches of 10 the last one has one, so that all processes but one are idle in it."""
    generator = torch.Generator().manual_seed(1)
    spec = DataSpec((1, 8, 8), "binary", companion="pair" if kind == "pairs" else None)
    make = Paired if kind == "pairs" else MemorySplit

    def split(count: int) -> MemorySplit:
        return make(spec, torch.rand(count, 64, generator=generator).round(), None)

    return DataSplits(split(number), split(23), split(23), {"source": "made up"})


def trainer_of(name: str, folder: Path, processes: Processes, **training: Any) -> Trainer:
    """A trainer at its first step."""
    case = CASES[name]
    experiment = parse_experiment(
        {
            "data": {"kind": "digits"},
            "model": case.model,
            "objective": case.objective,
            "training": {"epochs": 2, "batch_size": 10, "log_every": 2, **case.training, **training},
        }
    )
    data = splits(case.data)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    model, objective = build(experiment.model, experiment.objective, data.train.spec)
    return Trainer(
        model,
        objective,
        data,
        experiment.training,
        seed=3,
        folder=folder / name,
        reporter=Recorder(),
        processes=processes,
    )


def train(name: str, folder: Path, processes: Processes) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """The lines of a training with `common_noise`, and all that it changed."""
    trainer = trainer_of(name, folder, processes)
    with common_noise():
        trainer.train()
    tensors, _ = trainer.update.state()
    assert isinstance(trainer.reporter, Recorder)
    return trainer.reporter.lines, {
        key: value for key, value in tensors.items() if key.startswith(("model/", "average/"))
    }


@contextmanager
def common_noise() -> Iterator[None]:
    """In a training step a datum gets the same noise however the batch is shared.

    What is drawn follows from the number of the call. A draw for data is made for the whole batch, of which this process takes
    the rows of its own.
    """
    real = {"randn": torch.randn, "rand": torch.rand, "randperm": torch.randperm, "randn_like": torch.randn_like}
    real_step, calls, active = Update._accumulate, itertools.count(), [False]

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(next(calls))

    def rows(draw: str) -> Any:
        def drawn(*shape: Any, dtype: Any = None, device: Any = None, **more: Any) -> Tensor:
            if not active[0] or more.get("generator"):
                return real[draw](*shape, dtype=dtype, device=device, **more)
            size = list(shape[0]) if isinstance(shape[0], tuple | list | torch.Size) else list(shape)
            if len(size) < 3 or not shared_batch.shared():
                return real[draw](size, dtype=dtype, generator=generator())
            # the rows of a batch are on axis 1, a datum's own ones (of a pair) one batch apart
            own = size[1]
            total = shared_batch.count(torch.empty(own))
            made = real[draw]([size[0], total, *size[2:]], dtype=dtype, generator=generator())
            factor = shared_batch.rows_of_a_datum(own)
            first = shared_batch.own_rows(own // factor)
            return made.unflatten(1, (factor, total // factor))[:, :, first].flatten(1, 2)

        return drawn

    def step(self: Update, *arguments: Any) -> None:
        active[0] = True
        try:
            real_step(self, *arguments)
        finally:
            active[0] = False

    torch.randn, torch.rand = rows("randn"), rows("rand")
    torch.randn_like = lambda x, **more: (
        torch.randn(x.shape, dtype=x.dtype) if active[0] else real["randn_like"](x, **more)
    )
    torch.randperm = lambda number, **more: (
        real["randperm"](number, generator=generator()) if active[0] else real["randperm"](number, **more)
    )
    Update._accumulate = step
    try:
        yield
    finally:
        for name, function in real.items():
            setattr(torch, name, function)
        Update._accumulate = real_step


def differences(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    """What differs in two lines by more than the order of additions explains."""
    if one.keys() != two.keys():
        return [f"other terms: {one.keys() ^ two.keys()}"]
    return [
        f"{name} of step {one['step']}: {one[name]} and {two[name]}"
        for name in one
        if name != "split" and not math.isclose(one[name], two[name], rel_tol=1e-5, abs_tol=1e-6)
    ]
