"""A training as `python -m vaelab run` does it, an epoch at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from vaelab.build import build
from vaelab.config import Experiment, parse_experiment
from vaelab.interrupts import Interrupts
from vaelab.registry import DATASETS, TRACKERS
from vaelab.runs import RunDirectory, load_data
from vaelab.session import Listeners, listening, trainer_of
from vaelab.trackers import RunInfo
from vaelab.training import Trainer
from vaelab.types import DataSplits

CPU = torch.device("cpu")


def digits(limit: int, binarisation: str = "static") -> dict[str, Any]:
    """MNIST, bits in memory."""
    return {"kind": "mnist", "binarisation": binarisation, "train_limit": limit, "test_limit": 100}


def experiment_of(
    encoder: dict[str, Any], decoder: dict[str, Any], dim: int, batch: int, limit: int, **more: Any
) -> Experiment:
    """An experiment on bits of MNIST, with the tracker that needs no network."""
    likelihood = more.pop("likelihood", "bernoulli")
    prior = more.pop("prior", {"kind": "standard_normal", "dim": dim})
    return parse_experiment(
        {
            "data": more.pop("data", digits(limit)),
            "model": {
                "encoder": encoder,
                "posterior": "diagonal_normal",
                "prior": prior,
                "decoder": decoder,
                "likelihood": likelihood,
            },
            "training": {"epochs": 20, "batch_size": batch, **more.pop("training", {})},
            "trackers": ["tensorboard"],
            **more,
        }
    )


@contextmanager
def training(experiment: Experiment, folder: Path, data: DataSplits | None = None) -> Iterator[Trainer]:
    """A trainer with all that listens to a run: metrics.jsonl, tracker, progress, monitor, checkpoints."""
    torch.manual_seed(experiment.seed)
    model, objective = build(experiment.model, experiment.objective, DATASETS.build(experiment.data).spec)
    directory = RunDirectory.create(folder, experiment)
    trainer = trainer_of(directory, experiment, model, objective, data or load_data(experiment, CPU))
    with ExitStack() as stack:
        trackers = [TRACKERS.build(config) for config in experiment.trackers]
        info = RunInfo(experiment.name, directory.path.name, directory.path, experiment.model_dump(mode="json"), False)
        for tracker in trackers:
            tracker.start(info)
            stack.callback(tracker.close, failed=False)
        listeners = Listeners(Console(file=io.StringIO()), trackers, stack.enter_context(Interrupts()))
        stack.enter_context(listening(directory, trainer, experiment, listeners))
        yield trainer


def epochs(trainer: Trainer) -> Callable[[], None]:
    """Trains an epoch, with what is done at its end."""

    def run() -> None:
        trainer.total_steps = trainer.step + trainer.steps_per_epoch
        trainer.train()

    return run


def bits_of(trainer: Trainer) -> torch.Tensor:
    """The data of a trainer, `[N, 784]`, uint8."""
    train = trainer.data.train
    parts = [train.fetch(rows).x.flatten(1).to(torch.uint8) for rows in torch.arange(len(train)).split(1000)]
    return torch.cat(parts)
