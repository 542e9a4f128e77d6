"""One process's work on a run: training with all that listens, the status in the manifest, the way on where it is stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
from rich.console import Console

from vaelab.config import Experiment
from vaelab.errors import RunError, StorageError
from vaelab.health import Monitor
from vaelab.interrupts import Interrupts
from vaelab.lines import LineWriter, keep_until
from vaelab.model import VAE
from vaelab.objectives import Objective
from vaelab.processes import current
from vaelab.provenance import peak_memory
from vaelab.runs import RunDirectory
from vaelab.trackers import Tracker
from vaelab.training import Reporter, StoppedError, Trainer
from vaelab.training.progress import TrainingProgress
from vaelab.types import DataSplits

_log = logging.getLogger("vaelab")


@dataclass(frozen=True)
class Listeners:
    """Who is told of a training, and who may interrupt it."""

    console: Console
    trackers: list[Tracker[Any]]
    interrupts: Interrupts


class _Reporter(Reporter):
    """Sends what the trainer reports to metrics.jsonl, the trackers, the screen and the monitor."""

    def __init__(
        self, directory: RunDirectory, trackers: list[Tracker[Any]], progress: TrainingProgress, monitor: Monitor
    ) -> None:
        self.file = LineWriter(directory.metrics)
        self.trackers = trackers
        self.progress = progress
        self.monitor = monitor

    def advance(self, step: int) -> None:
        self.progress.advance(step)

    def line(self, line: dict[str, Any]) -> None:
        self.file.append(line)
        for tracker in self.trackers:
            tracker.log(line)
        self.progress.line(line)
        for finding in self.monitor.line(line):
            self.progress.note(f"  {finding}")

    def sync(self) -> None:
        self.file.sync()


def trainer_of(
    directory: RunDirectory, experiment: Experiment, model: VAE, objective: Objective[Any], data: DataSplits
) -> Trainer:
    """The trainer of a run, before its first step and in each of the processes that share the work."""
    return Trainer(
        model,
        objective,
        data,
        experiment.training,
        seed=experiment.seed,
        folder=directory.checkpoints,
        reporter=Reporter(),
        processes=current(),
    )


def train_model(
    directory: RunDirectory,
    experiment: Experiment,
    model: VAE,
    objective: Objective[Any],
    data: DataSplits,
    listeners: Listeners,
    *,
    previous: bool,
    profile: bool = False,
) -> int:
    """Train a model from where the run stands, and leave in it the weights to evaluate.

    Args:
        directory: of the run, locked.
        experiment: of the run.
        model: as the seed made it, on its device.
        objective: likewise.
        data: on the same device.
        listeners: who is told, and who may interrupt.
        previous: go on from the checkpoint before the newest.
        profile: see `vaelab.profiling`.

    Returns:
        The step that the weights are of.
    """
    trainer = trainer_of(directory, experiment, model, objective, data)
    trainer.restore(previous=previous)
    keep_until(directory.metrics, trainer.step)
    last = max((line["step"] for line in directory.history()), default=None)
    if trainer.last_line is not None and last != trainer.last_line:
        _log.warning(
            "%s: its last line before step %d should be that of step %d and is that of %s; it was changed, and what is missing stays so",
            directory.metrics,
            trainer.step,
            trainer.last_line,
            f"step {last}" if last is not None else "no step",
        )
    with (
        listening(directory, trainer, experiment, listeners),
        _profiled(trainer, directory, experiment) if profile else nullcontext(),
    ):
        trainer.train()
    return trainer.finish()


@contextmanager
def listening(
    directory: RunDirectory, trainer: Trainer, experiment: Experiment, listeners: Listeners
) -> Iterator[None]:
    """All that a run tells of its training, to those who listen and into its directory."""
    batch = experiment.training.batch_size * experiment.training.accumulate
    progress = TrainingProgress(listeners.console, trainer.total_steps, trainer.step, trainer.steps_per_epoch, batch)
    # for those who look on from elsewhere
    directory.update_manifest(
        weights_of_step=None,
        session={
            "started": datetime.now(UTC).isoformat(),
            "step": trainer.step,
            "total_steps": trainer.total_steps,
            "steps_per_epoch": trainer.steps_per_epoch,
            "batch": batch,
        },
    )
    monitor = Monitor(
        directory,
        trainer.model,
        trainer.data,
        seed=experiment.seed,
        batch=batch,
        step=trainer.step,
        total_steps=trainer.total_steps,
    )
    trainer.reporter = reporter = _Reporter(directory, listeners.trackers, progress, monitor)
    try:
        with progress, listeners.interrupts.asking(trainer.stop):
            yield
    finally:
        reporter.file.close()


def _profiled(trainer: Trainer, directory: RunDirectory, experiment: Experiment) -> AbstractContextManager[None]:
    from vaelab.profiling import profiled

    device = trainer.model.device
    about = {
        "name": experiment.name,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": torch.get_num_threads(),
        "batch": experiment.training.batch_size,
        "torch": torch.__version__,
    }
    return profiled(trainer, directory.profile, about)


@contextmanager
def way_on(directory: RunDirectory) -> Iterator[None]:
    """Say how to go on with a run that a signal or the disk has stopped."""
    try:
        yield
    except (StoppedError, KeyboardInterrupt) as error:
        raise StoppedError(f"{str(error) or 'stopped'}. Go on with: {directory.way_on}") from error
    except StorageError as error:
        raise StorageError(f"{error} What was written before is whole. Then go on with: {directory.way_on}") from error


@contextmanager
def status(
    directory: RunDirectory, before: Mapping[str, Any], started: float, device: torch.device
) -> Iterator[Callable[[], dict[str, float]]]:
    """Keep the manifest's status true whatever happens. Gives what tells the seconds spent until now."""

    processor = before.get("processor_seconds", 0.0) - time.process_time()

    def spent() -> dict[str, float]:
        wall = before.get("wall_seconds", 0.0) + time.perf_counter() - started
        return {"wall_seconds": round(wall, 3), "processor_seconds": round(processor + time.process_time(), 3)}

    def record(status: str, **more: Any) -> None:
        directory.update_manifest(status=status, **spent(), peak_memory=peak_memory(device), **more)

    record("running", error=None)
    try:
        yield spent
    except StoppedError:
        record("stopped")
        raise
    except BaseException as error:
        # the disk that failed the run may fail the manifest too; the first error is the one to report
        with suppress(RunError):
            record("failed", error=f"{type(error).__name__}: {error}")
        raise
    record("finished", finished=datetime.now(UTC).isoformat(timespec="seconds"))
