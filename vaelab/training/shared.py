"""The update of several processes, each of which holds a part of every batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vaelab.config import TrainingConfig
from vaelab.errors import ConfigError, VaelabError
from vaelab.model import VAE
from vaelab.objectives import Loss, Objective
from vaelab.processes import Processes, checksums, share
from vaelab.shared_batch import count, mine, sharing
from vaelab.training.sums import TermSums
from vaelab.training.update import Update
from vaelab.types import Batch, Split, StepContext

#: Bytes of gradients that travel together: while one lot travels, the next is packed.
_LOT = 25 * 2**20


class Share(NamedTuple):
    """This process's part of a batch.

    Attributes:
        batch: the data; where there are none, one datum that does not count.
        sizes: data of each process.
    """

    batch: Batch
    sizes: list[int]


class SharedUpdate(Update):
    """Takes the gradient of this process's data, and steps on the sum over the processes.

    The loss of a batch is the mean over all of its data, so each process divides its sum by the size of the whole batch. All
    take the same step from the same weights, and so their weights stay the same bits.

    Gradients are exchanged after the backward passes and not by torch's DistributedDataParallel: its hooks belong to one
    backward pass of one module's `forward`, and here are several players with a pass each, restricted to their own parameters,
    through methods other than `forward`.

    Args:
        model: on its device.
        objective: on the same device.
        config: how to train; its batch size is that of the whole batch.
        processes: who shares.
    """

    def __init__(self, model: VAE, objective: Objective[Any], config: TrainingConfig, processes: Processes) -> None:
        if config.batch_size < processes.number:
            raise ConfigError(
                f"training.batch_size is {config.batch_size} and there are {processes.number} processes to share a batch. "
                "Start fewer processes or take larger batches."
            )
        super().__init__(model, objective, config)
        self.processes = processes
        self.sums = SharedSums(processes)

    def batches(self, split: Split, order: Tensor, batch_size: int) -> Iterator[Any]:
        rows, sizes = shares(order, batch_size, self.processes)
        own = len(share(batch_size, self.processes.number, self.processes.rank))
        for batch, each in zip(split.batches(rows, own), sizes, strict=True):
            yield Share(batch, each)

    def _accumulate(self, batch: Any, context: StepContext, parts: int) -> None:
        with sharing(self.processes, batch.sizes):
            super()._accumulate(batch.batch, context, parts)

    def _scalar(self, loss: Loss) -> Tensor:
        value = mine(loss.value).sum()
        return value if self.objective.config.reduction == "sum" else value / count(loss.value)

    def exchange(self) -> None:
        sum_gradients([p for parameters in self.parameters.values() for p in parameters], self.processes)


def agree(module: nn.Module, processes: Processes, step: int) -> None:
    """Refuse to go on where the processes have come to hold different models.

    Raises:
        VaelabError: naming what differs.
    """
    if processes.many and (name := processes.difference(checksums(module.state_dict()))):
        raise VaelabError(
            f"the processes hold different values of '{name}' after step {step}. A component computes it from its process's "
            "part of the batch alone; see vaelab.shared_batch for how to take it from the whole."
        )


def shares(order: Tensor, batch_size: int, processes: Processes) -> tuple[Tensor, list[list[int]]]:
    """The rows that one process takes of each batch of an order, and how many each process takes.

    No datum is taken twice but by a process that has none in the last batch: it gets the first of that batch, and size 0.
    """
    rows, sizes = [], []
    for batch in torch.split(order, batch_size):
        parts = [share(len(batch), processes.number, rank) for rank in range(processes.number)]
        own = parts[processes.rank]
        rows.append(batch[own.start : own.stop] if own else batch[:1])
        sizes.append([len(part) for part in parts])
    return torch.cat(rows), sizes


@torch.no_grad()
def sum_gradients(parameters: list[nn.Parameter], processes: Processes) -> None:
    """Each parameter's gradient becomes the sum over the processes; one that no process has stays None."""
    travelling = []
    for lot in _lots(parameters):
        present = [p.grad is not None for p in lot]
        parts = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in lot]
        flat = torch.cat([*parts, parts[0].new_tensor(present)])
        travelling.append((lot, present, flat, processes.sum_later(flat)))
    for lot, present, flat, arrive in travelling:
        arrive()
        *parts, holders = flat.split([*(p.numel() for p in lot), len(lot)])
        # those who have all gradients need not look, which on a GPU would mean to wait
        known = present if all(present) else [number > 0 for number in holders.tolist()]
        for parameter, part, some in zip(lot, parts, known, strict=True):
            if some and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if some and parameter.grad is not None:
                parameter.grad.copy_(part.view_as(parameter))


def _lots(parameters: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    lot: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        if lot and (size > _LOT or parameter.dtype != lot[0].dtype):
            yield lot
            lot, size = [], 0
        lot.append(parameter)
        size += parameter.numel() * parameter.element_size()
    if lot:
        yield lot


class SharedSums(TermSums):
    """Sums over the data of this process; those of all are added where a line is made, and kept apart in checkpoints."""

    def __init__(self, processes: Processes) -> None:
        super().__init__()
        self._processes = processes

    def add(self, losses: Mapping[str, Loss]) -> None:
        super().add({player: Loss(mine(loss.value), _own(loss.terms)) for player, loss in losses.items()})

    def finite(self) -> Tensor:
        bad = (~super().finite()).float()
        return self._processes.sum_(bad) == 0

    def means(self) -> dict[str, float]:
        if self._sums is None:  # every step was left out, in all processes
            return super().means()
        counted = self._processes.sum_(
            torch.cat([self._sums.double(), self._sums.new_tensor([int(self._count)]).double()])
        )
        self._sums, self._count = counted[:-1], int(counted[-1])
        return super().means()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {name: torch.stack(self._processes.gather(tensor)) for name, tensor in super().state()[0].items()}
        return tensors, {"names": self._names, "count": self._processes.gather_json(int(self._count))}

    def load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any], device: torch.device) -> None:
        counts = state["count"]
        if isinstance(counts, list) and len(counts) == self._processes.number:
            rank = self._processes.rank
            tensors = {"sums": tensors["sums"][rank]} if "sums" in tensors else {}
            state = {**state, "count": counts[rank]}
        super().load(tensors, state, device)
        if self._sums is not None and not isinstance(counts, list) and not self._processes.main:
            self._sums, self._count = torch.zeros_like(self._sums), 0


def _own(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: mine(term) for name, term in terms.items()}
