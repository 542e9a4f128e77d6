"""The trainer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab.config import TrainingConfig
from vaelab.errors import DataError, NonFiniteError, RunError, StoppedError
from vaelab.files import storage_error
from vaelab.metrics import EvaluationContext, foreseen, measure
from vaelab.model import VAE
from vaelab.objectives import MODEL, Objective
from vaelab.processes import ALONE, Processes, stream_seed
from vaelab.records import TrainingRecord, checked
from vaelab.training.checkpoint import (
    DamagedError,
    checkpoints,
    load_checkpoint,
    prune,
    save_checkpoint,
    set_aside,
)
from vaelab.training.early_stopping import EarlyStopping
from vaelab.training.findings import Findings, these_are
from vaelab.training.order import Order
from vaelab.training.random_states import random_states, restore_random_states
from vaelab.training.shared import SharedUpdate, agree
from vaelab.training.update import Update, under
from vaelab.types import DataSplits, Split, StepContext

Line = dict[str, Any]

_log = logging.getLogger(__name__)


class Reporter:
    """Where the trainer tells what happens; this one tells nobody."""

    def advance(self, step: int) -> None:
        """A step is done."""

    def line(self, line: Line) -> None:
        """A line of metrics, of the training or of a validation."""

    def sync(self) -> None:
        """A checkpoint is about to be written: what was told must be as lasting."""


class Trainer:
    """Trains a model by any objective: a loop over steps, and in each over the players that the objective names.

    Everything that the outcome depends on is in a checkpoint or follows from the seed and the step, so that a run that
    was stopped and resumed ends with the same bits as one that was not.

    Args:
        model: on its device.
        objective: on the same device.
        data: on the same device.
        config: how to train.
        seed: of the order of the data.
        folder: of the checkpoints.
        reporter: told of each step and line.
        processes: who train together, each with a part of every batch. All of them call the same methods; the main one
            writes.
    """

    def __init__(
        self,
        model: VAE,
        objective: Objective[Any],
        data: DataSplits,
        config: TrainingConfig,
        *,
        seed: int,
        folder: Path,
        reporter: Reporter,
        processes: Processes = ALONE,
    ) -> None:
        self.model = model
        self.objective = objective
        self.data = data
        self.config = config
        self.seed = seed
        self.folder = folder
        self.reporter = reporter
        self.processes = processes
        self.stop_requested = False
        size = len(data.train)
        self.order = Order(seed, size, config.batch_size, config.accumulate, config.drop_last)
        self.steps_per_epoch = self.order.steps_per_epoch
        if self.steps_per_epoch == 0:
            raise DataError(
                f"the {size} training data are fewer than a batch of {config.batch_size}, and training.drop_last leaves "
                "out what is smaller. Reduce training.batch_size or set training.drop_last to false."
            )
        if config.early_stopping and data.validation is None:
            raise DataError(
                'training.early_stopping watches validation data, and there are none. Set "validation" in the data.'
            )
        self.total_steps = config.steps or (config.epochs or 0) * self.steps_per_epoch
        self.update = (
            SharedUpdate(model, objective, config, processes) if processes.many else Update(model, objective, config)
        )
        self.findings = Findings(self.update, data.train, folder.parent / "nonfinite", processes)
        if not processes.main:
            # the weights are those of the seed in all processes, and what each draws for its data is its own
            torch.manual_seed(stream_seed(seed, processes.rank))
        self.step = 0
        self.early_stopping = EarlyStopping(config.early_stopping)
        self.last_line: int | None = None

    # The state of a run

    def save(self) -> None:
        """Write a checkpoint and drop old ones.

        Raises:
            NonFiniteError: a weight is NaN or infinite, and `training.on_nonfinite` is "stop".
            StorageError: it cannot be written; the ones before it stay.
        """
        self._look()
        tensors, state = self.update.state()
        bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
        if bad and self.config.on_nonfinite == "stop":
            raise NonFiniteError(
                f"step {self.step}: {these_are(bad)} NaN or infinite, so no checkpoint is written; the one before is whole. "
                "Lower the learning rate, or set training.gradient_clip."
            )
        state |= {
            **self.early_stopping.state(),
            "last_line": self.last_line,
            "skipped": self.update.guard.skipped,
            "nonfinite": self.update.guard.taken,
            "processes": self.processes.number,
        }
        tensors |= random_states(self.model.device, self.processes)
        agree(self.update.forward, self.processes, self.step)
        if not self.processes.main:
            return
        self.reporter.sync()
        self._make_folder()
        save_checkpoint(self.folder, self.step, tensors, state)
        prune(self.folder, keep=2)

    def _make_folder(self) -> None:
        """The folder of the checkpoints, but not the run's: where that is gone, nothing must look like a run."""
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise storage_error(self.folder, error) from error

    def restore(self, *, previous: bool = False) -> bool:
        """Take a checkpoint's state; False where there is none.

        Args:
            previous: take the one before the newest, which is set aside.

        Raises:
            RunError: it is damaged, or belongs to another experiment, or there is none before the newest.
        """
        names = self.processes.from_main([path.name for path in checkpoints(self.folder)])
        found = [self.folder / name for name in names]
        if previous and len(found) < 2:
            raise RunError(f"{self.folder}: there is no checkpoint before the newest one. Leave --resume-from out.")
        if not found:
            return False
        chosen = found[-2] if previous else found[-1]
        try:
            tensors, state = load_checkpoint(chosen)
        except DamagedError as error:
            remedy = "There is no older one: run the experiment again, with the run's config.json."
            if not previous and len(found) > 1:
                remedy = f"Go on from the one before it, {found[-2].name}, with --resume-from previous."
            raise DamagedError(f"{error} {remedy}") from error
        self._restore(chosen, tensors, state)
        self.processes.wait()
        if previous and self.processes.main:
            set_aside(found[-1])
        return True

    def _restore(self, path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        checked(state, TrainingRecord, f"{path / 'state.json'}")
        try:
            self.update.load(tensors, state)
            self.early_stopping.load(state)
            self.step, self.last_line, self.update.guard.skipped = state["step"], state["last_line"], state["skipped"]
            # older checkpoints do not count these
            self.update.guard.taken = state.get("nonfinite", 0)
            restore_random_states(path, tensors, state, self.model.device, self.processes, self.seed)
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise RunError(
                f"{path}: not a checkpoint of this experiment ({error}). Remove it to go on from the one before."
            ) from error

    # The loop

    def train(self) -> None:
        """Train to the end, or until early stopping says so.

        Raises:
            StoppedError: `stop_requested` was set; a checkpoint was written after the step.
            NonFiniteError: a term is NaN or infinite.
            ConfigError: early stopping watches a value that no validation metric yields.
        """
        if self.step == 0 and self.config.early_stopping:
            self.early_stopping.check(foreseen(self.config.validation, self.model, self.data))
        self.update.forward.train()
        agree(self.update.forward, self.processes, self.step)
        while self.step < self.total_steps and not self.early_stopping.stops:
            self._epoch()

    def stop(self) -> None:
        """Finish the step that is being done, write a checkpoint and raise `StoppedError`."""
        self.stop_requested = True

    def _epoch(self) -> None:
        config = self.config
        batches = self.update.batches(self.data.train, self.order.rest_of_epoch(self.step), config.batch_size)
        for micro_batches in _chunks(batches, config.accumulate):
            trouble = self.update.take(micro_batches, self._context())
            if trouble is not None:
                self.findings.report(trouble, self.order.of_step(trouble.step))
            self.step += 1
            last = self.step == self.total_steps
            epoch_end = self.step % self.steps_per_epoch == 0
            if self.step % config.log_every == 0 or epoch_end or last:
                self.log()
            self.reporter.advance(self.step)
            if (epoch_end or last) and self.data.validation is not None:
                self.validate(self.data.validation, last=last)
            every = config.checkpoint_every or self.steps_per_epoch
            stop = self.processes.any(self.stop_requested)
            if self.step % every == 0 or last or stop:
                self.save()
            if stop and not last:
                raise StoppedError(f"stopped after step {self.step} of {self.total_steps}")
            if last or self.early_stopping.stops:
                return

    def _context(self) -> StepContext:
        return StepContext(self.step, self.steps_per_epoch, self.total_steps, len(self.data.train))

    def log(self) -> None:
        """Tell the means of the terms since the last line."""
        self._look()
        means = self.update.sums.means()
        line = {"split": "train", "step": self.step, "epoch": self._fraction(), **means}
        for player, optimiser in self.update.optimisers.items():
            line["lr" if player == MODEL else f"{player}/lr"] = optimiser.lr
        guard = self.update.guard
        if self.config.skip_gradient_above is not None:
            line["gradient_norm"], guard.norm = guard.norm, 0.0
        if self.config.skip_gradient_above is not None or self.config.on_nonfinite == "skip":
            line["skipped"] = guard.skipped
        if self.config.on_nonfinite == "warn":
            line["nonfinite"] = guard.taken
        self._tell(line)

    def _look(self) -> None:
        """See what a guard that does not wait has found."""
        trouble = self.update.guard.read(self.update.sums.names)
        if trouble is not None:
            self.findings.report(trouble, self.order.of_step(trouble.step))

    def _tell(self, line: Line) -> None:
        self.reporter.line(line)
        self.last_line = self.step

    def _fraction(self) -> float:
        return round(self.step / self.steps_per_epoch, 6)

    # Validation

    def validate(self, split: Split, *, last: bool) -> None:
        """Measure what `training.validation` names, where it is time to."""
        if not last and (self.step // self.steps_per_epoch) % self.config.validate_every:
            return
        with self.averaged():
            values = measure(
                self.config.validation,
                self.model,
                split,
                EvaluationContext(seed=self.seed, data=self.data, processes=self.processes),
            )
        line: Line = {"split": "validation", "step": self.step, "epoch": self._fraction()}
        line |= {name: value.value for name, value in values.items()}
        self._tell(line)
        best = self.early_stopping.look(values, self.step)
        if best is not None and self.processes.main:
            self._save_best(best)

    def _save_best(self, value: float) -> None:
        self._make_folder()
        with self.averaged():
            state = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
            save_checkpoint(self.folder / "best", self.step, state, {"value": value})
        prune(self.folder / "best", keep=1)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The weights with which the model is evaluated: the running means where there are any."""
        with self.update.average.applied() if self.update.average else nullcontext():
            yield

    def finish(self) -> int:
        """Leave in the model the weights to evaluate (best, averaged or last) and return the step that they are of."""
        self.processes.wait()
        best = checkpoints(self.folder / "best") if self.config.early_stopping else []
        if best:
            tensors, state = load_checkpoint(best[-1])
            self.model.load_state_dict(under("model/", tensors))
            return int(state["step"])
        if self.update.average:
            with torch.no_grad():
                for name, parameter in self.model.named_parameters():
                    parameter.copy_(self.update.average.averages[name])
        return self.step


def _chunks(batches: Iterator[Any], size: int) -> Iterator[list[Any]]:
    chunk = []
    for batch in batches:
        chunk.append(batch)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
