"""The trainer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vaelab.config import TrainingConfig
from vaelab.errors import DataError, NonFiniteError, RunError, VaelabError
from vaelab.metrics import EvaluationContext, Value, measure
from vaelab.model import VAE
from vaelab.objectives import MODEL, Loss, Objective
from vaelab.optimisers import Optimiser
from vaelab.registry import OPTIMISERS
from vaelab.training.averaging import WeightAverage
from vaelab.training.checkpoint import (
    checkpoints,
    flatten_optimiser,
    load_checkpoint,
    prune,
    save_checkpoint,
    unflatten_optimiser,
)
from vaelab.types import Batch, DataSplits, Split, StepContext

Line = dict[str, Any]


class StoppedError(VaelabError):
    """Training was asked to stop; a checkpoint was written. Exit code 130."""

    exit_code = 130


class Reporter(Protocol):
    """Where the trainer tells what happens."""

    def advance(self, step: int) -> None:
        """A step is done."""

    def line(self, line: Line) -> None:
        """A line of metrics, of the training or of a validation."""


class _Step(nn.Module):
    """Model and objective as one module, so that compilation sees the whole forward pass."""

    def __init__(self, model: VAE, objective: Objective[Any]) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch, context: StepContext) -> dict[str, Loss]:
        losses: dict[str, Loss] = self.objective(self.model, batch, context)
        return losses


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
    ) -> None:
        self.model = model
        self.objective = objective
        self.data = data
        self.config = config
        self.seed = seed
        self.folder = folder
        self.reporter = reporter
        self.stop_requested = False
        size = len(data.train)
        batches = size // config.batch_size if config.drop_last else -(-size // config.batch_size)
        if batches == 0:
            raise DataError(
                f"the {size} training data are fewer than a batch of {config.batch_size}, and training.drop_last leaves "
                "out what is smaller. Reduce training.batch_size or set training.drop_last to false."
            )
        if config.early_stopping and data.validation is None:
            raise DataError(
                'training.early_stopping watches validation data, and there are none. Set "validation" in the data.'
            )
        self.steps_per_epoch = -(-batches // config.accumulate)
        self.total_steps = config.steps or (config.epochs or 0) * self.steps_per_epoch
        self.parameters = objective.players(model)
        brought = objective.optimisers()
        self.optimisers: dict[str, Optimiser[Any]] = {
            player: OPTIMISERS.build(brought.get(player, config.optimiser), parameters)
            for player, parameters in self.parameters.items()
        }
        self.average = WeightAverage(model, config.ema) if config.ema else None
        self._forward = _Step(model, objective)
        self._run: Callable[[Batch, StepContext], dict[str, Loss]] = (
            torch.compile(self._forward) if config.compile else self._forward
        )
        self.step = 0
        self.best: float = math.inf
        self.best_step = 0
        self.bad_validations = 0
        self._names: list[str] = []
        self._sums: Tensor | None = None
        self._count = 0

    # The state of a run

    def save(self) -> None:
        """Write a checkpoint and drop old ones."""
        tensors: dict[str, Tensor] = {f"model/{name}": value for name, value in self._forward.state_dict().items()}
        state: dict[str, Any] = {
            "optimisers": {},
            "best": None if self.best == math.inf else self.best,
            "best_step": self.best_step,
            "bad_validations": self.bad_validations,
            "names": self._names,
            "count": self._count,
        }
        for player, optimiser in self.optimisers.items():
            more, rest = flatten_optimiser(f"optimiser/{player}/", optimiser.torch.state_dict())
            tensors |= more
            state["optimisers"][player] = rest
        if self.average:
            tensors |= {f"average/{name}": value for name, value in self.average.averages.items()}
        if self._sums is not None:
            tensors["sums"] = self._sums
        tensors["random/cpu"] = torch.get_rng_state()
        if self.model.device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self.model.device)
        save_checkpoint(self.folder, self.step, tensors, state)
        prune(self.folder, keep=2)

    def restore(self) -> bool:
        """Take the newest checkpoint's state; False where there is none.

        Raises:
            RunError: it is damaged, or belongs to another experiment.
        """
        found = checkpoints(self.folder)
        if not found:
            return False
        tensors, state = load_checkpoint(found[-1])
        device = self.model.device
        try:
            self._forward.load_state_dict(_under("model/", tensors))
            for player, optimiser in self.optimisers.items():
                saved = unflatten_optimiser(f"optimiser/{player}/", tensors, state["optimisers"][player])
                optimiser.torch.load_state_dict(saved)
            if self.average:
                averages = self.average.averages
                # in the parameters' order, which the file does not keep
                self.average.averages = {name: tensors[f"average/{name}"].to(device) for name in averages}
            self._sums = tensors["sums"].to(device) if "sums" in tensors else None
            self._names, self._count = state["names"], state["count"]
            self.best = math.inf if state["best"] is None else state["best"]
            self.best_step, self.bad_validations = state["best_step"], state["bad_validations"]
            self.step = state["step"]
            torch.set_rng_state(tensors["random/cpu"])
            if device.type == "cuda" and "random/cuda" in tensors:
                torch.cuda.set_rng_state(tensors["random/cuda"], device)
        except (KeyError, RuntimeError, ValueError) as error:
            raise RunError(f"{found[-1]}: not a checkpoint of this experiment ({error})") from error
        return True

    # The loop

    def train(self) -> None:
        """Train to the end, or until early stopping says so.

        Raises:
            StoppedError: `stop_requested` was set; a checkpoint was written after the step.
            NonFiniteError: a term is NaN or infinite.
        """
        self._forward.train()
        while self.step < self.total_steps and not self._stopped_early():
            self._epoch()

    def _epoch(self) -> None:
        config = self.config
        epoch, done = divmod(self.step, self.steps_per_epoch)
        order = epoch_order(self.seed, epoch, len(self.data.train))
        if config.drop_last:
            order = order[: len(order) // config.batch_size * config.batch_size]
        batches = self.data.train.batches(order[done * config.accumulate * config.batch_size :], config.batch_size)
        for micro_batches in _chunks(batches, config.accumulate):
            self._take(micro_batches)
            self.step += 1
            last = self.step == self.total_steps
            epoch_end = self.step % self.steps_per_epoch == 0
            if self.step % config.log_every == 0 or epoch_end or last:
                self._log()
            self.reporter.advance(self.step)
            if (epoch_end or last) and self.data.validation is not None:
                self._validate(self.data.validation, last=last)
            every = config.checkpoint_every or self.steps_per_epoch
            if self.step % every == 0 or last or self.stop_requested:
                self.save()
            if self.stop_requested and not last:
                raise StoppedError(f"stopped after step {self.step} of {self.total_steps}")
            if last or self._stopped_early():
                return

    def _take(self, micro_batches: list[Batch]) -> None:
        config = self.config
        context = StepContext(self.step, self.steps_per_epoch, self.total_steps, len(self.data.train))
        for optimiser in self.optimisers.values():
            optimiser.torch.zero_grad()
        for batch in micro_batches:
            with self._autocast():
                losses = self._run(batch, context)
            last = list(losses)[-1]
            for player, loss in losses.items():
                value = loss.value.sum() if self.objective.config.reduction == "sum" else loss.value.mean()
                if len(micro_batches) > 1:
                    value = value / len(micro_batches)
                # players may share a graph, which the last one frees
                torch.autograd.backward(value, inputs=self.parameters[player], retain_graph=player != last)
            self._add(losses)
        for player, optimiser in self.optimisers.items():
            if config.gradient_clip is not None:
                nn.utils.clip_grad_norm_(self.parameters[player], config.gradient_clip)
            optimiser.step(context)
        if self.average:
            self.average.update(self.step + 1)

    def _autocast(self) -> Any:
        if self.config.precision == "float32":
            return nullcontext()
        return torch.autocast(self.model.device.type, dtype=torch.bfloat16)

    def _add(self, losses: dict[str, Loss]) -> None:
        """Sum the terms on the device; the host sees them at log steps only."""
        terms = {name: term for loss in losses.values() for name, term in loss.terms.items()}
        sums = torch.stack([term.detach() for term in terms.values()]).sum(1)
        if self._sums is None:
            self._names, self._sums = list(terms), sums
        else:
            self._sums += sums
        self._count += len(losses[MODEL].value)

    def _log(self) -> None:
        assert self._sums is not None
        means = dict(zip(self._names, (self._sums / self._count).tolist(), strict=True))
        self._sums, self._count = None, 0
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            raise NonFiniteError(
                f"{', '.join(bad)} became NaN or infinite within the {self.config.log_every} steps before step "
                f"{self.step}. Lower the learning rate, set training.gradient_clip, or look at the scales that the "
                "posterior and the likelihood predict."
            )
        line = {"split": "train", "step": self.step, "epoch": self._fraction(), **means}
        for player, optimiser in self.optimisers.items():
            line["lr" if player == MODEL else f"{player}/lr"] = optimiser.lr
        self.reporter.line(line)

    def _fraction(self) -> float:
        return round(self.step / self.steps_per_epoch, 6)

    # Validation

    def _validate(self, split: Split, *, last: bool) -> None:
        if not last and (self.step // self.steps_per_epoch) % self.config.validate_every:
            return
        with self.averaged():
            values = measure(
                self.config.validation, self.model, split, EvaluationContext(seed=self.seed, data=self.data)
            )
        line: Line = {"split": "validation", "step": self.step, "epoch": self._fraction()}
        line |= {name: value.value for name, value in values.items()}
        self.reporter.line(line)
        self._watch(values)

    def _watch(self, values: dict[str, Value]) -> None:
        watch = self.config.early_stopping
        if watch is None:
            return
        if watch.metric not in values:
            raise VaelabError(
                f"training.early_stopping watches '{watch.metric}', which no validation metric yields. "
                f"There are: {', '.join(values)}."
            )
        value = values[watch.metric].value
        if value < self.best - watch.min_delta:
            self.best, self.best_step, self.bad_validations = value, self.step, 0
            with self.averaged():
                state = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
                save_checkpoint(self.folder / "best", self.step, state, {"value": value})
            prune(self.folder / "best", keep=1)
        else:
            self.bad_validations += 1

    def _stopped_early(self) -> bool:
        watch = self.config.early_stopping
        return watch is not None and self.bad_validations >= watch.patience

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The weights with which the model is evaluated: the running means where there are any."""
        with self.average.applied() if self.average else nullcontext():
            yield

    def finish(self) -> int:
        """Leave in the model the weights to evaluate (best, averaged or last) and return the step that they are of."""
        best = checkpoints(self.folder / "best") if self.config.early_stopping else []
        if best:
            tensors, state = load_checkpoint(best[-1])
            self.model.load_state_dict(_under("model/", tensors))
            return int(state["step"])
        if self.average:
            with torch.no_grad():
                for name, parameter in self.model.named_parameters():
                    parameter.copy_(self.average.averages[name])
        return self.step


def epoch_order(seed: int, epoch: int, size: int) -> Tensor:
    """The order of the data in an epoch; it follows from the seed, so a checkpoint need not hold it."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(size, generator=generator)


def _chunks(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    chunk = []
    for batch in batches:
        chunk.append(batch)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
