"""One optimiser step of all players."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from vaelab.config import TrainingConfig
from vaelab.model import VAE
from vaelab.objectives import Loss, Objective
from vaelab.optimisers import Optimiser
from vaelab.registry import OPTIMISERS
from vaelab.training.averaging import WeightAverage
from vaelab.training.checkpoint import flatten_optimiser, unflatten_optimiser
from vaelab.training.guard import Guard, Trouble
from vaelab.training.layout import batch_in_channels_last, channels_last, in_channels_last, recompute
from vaelab.training.precision import LayersInBfloat16
from vaelab.training.sums import TermSums
from vaelab.types import Batch, Split, StepContext


class _Forward(nn.Module):
    """Model and objective as one module, so that compilation sees the whole forward pass."""

    def __init__(self, model: VAE, objective: Objective[Any]) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch, context: StepContext) -> dict[str, Loss]:
        losses: dict[str, Loss] = self.objective(self.model, batch, context)
        return losses


class Update:
    """All that a step changes: weights, optimisers, the running mean of the weights, the sums of the terms.

    Args:
        model: on its device.
        objective: on the same device.
        config: how to train.
    """

    def __init__(self, model: VAE, objective: Objective[Any], config: TrainingConfig) -> None:
        self.model = model
        self.objective = objective
        self.config = config
        if config.memory_format == "channels_last":  # before optimisers and means, which take the order over
            channels_last(model)
        self.forward = _Forward(model, objective)
        # before the blocks that are run again, so that their layers are in bfloat16 then too
        self.precision: Callable[[], AbstractContextManager[None]] = (
            LayersInBfloat16(self.forward, model.device) if config.precision == "bfloat16" else nullcontext
        )
        if config.gradient_checkpointing:
            recompute(model)
        self.parameters = objective.players(model)
        brought = objective.optimisers()
        self.optimisers: dict[str, Optimiser[Any]] = {
            player: OPTIMISERS.build(brought.get(player, config.optimiser), parameters)
            for player, parameters in self.parameters.items()
        }
        self.average = WeightAverage(model, config.ema) if config.ema else None
        self.sums = TermSums()
        self.guard = Guard(self.forward, self.parameters, self.optimisers, config, model.device)
        self.run: Callable[[Batch, StepContext], dict[str, Loss]] = (
            torch.compile(self.forward, mode=config.compile_mode) if config.compile else self.forward
        )

    def batches(self, split: Split, order: Tensor, batch_size: int) -> Iterator[Any]:
        """The data in this order, as `take` takes them."""
        return split.batches(order, batch_size)

    def take(self, micro_batches: list[Any], context: StepContext) -> Trouble | None:
        """One step of every player, on the gradient of all micro-batches, unless the guard finds something.

        Returns:
            What the guard found, where it knows at once.
        """
        self.guard.begin(self.sums)
        for optimiser in self.optimisers.values():
            optimiser.clear()
        for batch in micro_batches:
            self._accumulate(batch, context, len(micro_batches))
        self.exchange()
        trouble = self.guard.look(context.step, self.sums)
        if self.guard.passed:
            for optimiser in self.optimisers.values():
                optimiser.step(context)
            if self.average:
                self.average.update(context.step + 1, self.guard.out)
        return trouble

    def _accumulate(self, batch: Any, context: StepContext, parts: int) -> None:
        """Add the gradients of one micro-batch of `parts`."""
        if self.config.memory_format == "channels_last":
            batch = batch_in_channels_last(batch)
        with self.precision():
            losses = self.run(batch, context)
            last = list(losses)[-1]
            for player, loss in losses.items():
                value = self._scalar(loss)
                if parts > 1:
                    value = value / parts
                # one player's gradients need no choice of inputs; several may share a graph, which the last one frees
                inputs = None if len(losses) == 1 else self.parameters[player]
                self.backward(value, inputs, retain_graph=player != last)
        self.sums.add(losses)

    def backward(self, value: Tensor, inputs: list[nn.Parameter] | None, *, retain_graph: bool) -> None:
        """Add the gradient of a loss to those of these parameters, or of all."""
        torch.autograd.backward(value, inputs=inputs, retain_graph=retain_graph)

    def _scalar(self, loss: Loss) -> Tensor:
        return loss.value.sum() if self.objective.config.reduction == "sum" else loss.value.mean()

    def exchange(self) -> None:
        """Between the backward passes and the step."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a checkpoint holds of it: tensors, and what JSON can hold."""
        tensors: dict[str, Tensor] = {f"model/{name}": value for name, value in self.forward.state_dict().items()}
        state: dict[str, Any] = {"optimisers": {}}
        for player, optimiser in self.optimisers.items():
            more, rest = flatten_optimiser(f"optimiser/{player}/", optimiser.torch.state_dict())
            tensors |= more
            state["optimisers"][player] = rest
        if self.average:
            tensors |= {f"average/{name}": value for name, value in self.average.averages.items()}
        more, rest = self.sums.state()
        return tensors | more, state | rest

    def load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self.forward.load_state_dict(under("model/", tensors))
        for player, optimiser in self.optimisers.items():
            saved = unflatten_optimiser(f"optimiser/{player}/", tensors, state["optimisers"][player])
            optimiser.torch.load_state_dict(saved)
            if self.config.memory_format == "channels_last":
                _in_order_of_parameters(optimiser)
        if self.average:
            # in the parameters' order, which the file does not keep
            self.average.averages = {
                name: tensors[f"average/{name}"].to(self.model.device) for name in self.average.averages
            }
        self.sums.load(tensors, state, self.model.device)


def _in_order_of_parameters(optimiser: Optimiser[Any]) -> None:
    """Files keep no order of axes, and a fused kernel walks through moments and weights side by side."""
    for state in optimiser.torch.state.values():
        for name, value in state.items():
            if isinstance(value, Tensor):
                state[name] = in_channels_last(value)


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names have the prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
