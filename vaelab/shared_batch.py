"""Statistics of a batch of which each process holds a part.

Within `sharing`, where a training step of several processes runs, the functions here speak of the whole batch; elsewhere they
are what their names say of the batch at hand. Gradients go through them: the loss of a process is its part of one loss, so what
arrives from all others is added up.

A process may be idle: the last batch of an epoch can have fewer data than there are processes. It then runs a datum
that counts for nothing, so that all take part in every exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vaelab.processes import Processes


@dataclass(frozen=True)
class _Sharing:
    processes: Processes
    sizes: Sequence[int]

    @property
    def own(self) -> int:
        return self.sizes[self.processes.rank]

    @property
    def start(self) -> int:
        return sum(self.sizes[: self.processes.rank])

    @property
    def total(self) -> int:
        return sum(self.sizes)

    def factor(self, rows: int) -> int:
        """How many rows a datum has: K, or 2 for a pair."""
        return rows // (self.own or 1)


_now: _Sharing | None = None


@contextmanager
def sharing(processes: Processes, sizes: Sequence[int]) -> Iterator[None]:
    """Within the block a batch is a part of a larger one.

    Args:
        processes: who holds it.
        sizes: data that each holds.
    """
    global _now
    _leave_out_of_graphs()
    before, _now = _now, _Sharing(processes, sizes)
    try:
        yield
    finally:
        _now = before


def shared() -> bool:
    """Whether the batch at hand is a part."""
    return _now is not None


def rows_of_a_datum(rows: int) -> int:
    """How many of the rows at hand belong to one datum."""
    return 1 if _now is None else _now.factor(rows)


def mine(x: Tensor, axis: int = 0) -> Tensor:
    """The data of this process that count: all, or none where it is idle."""
    return x if _now is None or _now.own else x.narrow(axis, 0, 0)


def count(x: Tensor, axis: int = 0) -> int:
    """The length of an axis of data, of all processes together."""
    return x.shape[axis] if _now is None else _now.total * _now.factor(x.shape[axis])


def total(x: Tensor) -> Tensor:
    """The sum over the processes of a tensor of one shape."""
    return x if _now is None else _total(x)


def batch_mean(x: Tensor) -> Tensor:
    """The mean of `[B, ...]` over the first axis of the whole batch."""
    return x.mean(0) if _now is None else _total(mine(x).sum(0)) / count(x)


def mean(x: Tensor, axis: int = 0) -> Tensor:
    """The mean of all numbers of the whole batch, one number; the data are along an axis."""
    if _now is None:
        return x.mean()
    return _total(mine(x, axis).sum()) / (count(x, axis) * (x.numel() // x.shape[axis]))


def mean_of_processes(x: Tensor) -> Tensor:
    """The mean of one estimate a process, such as one of as many draws in each."""
    return x if _now is None else _total(x) / _now.processes.number


def whole(x: Tensor) -> Tensor:
    """`[B, ...]` of all processes one after the other."""
    return x if _now is None else _whole(x)


def own_rows(rows: int) -> slice:
    """Where the rows of this process are in `whole`. An idle one is told some, whose values are of no account."""
    start = 0 if _now is None or not _now.own else _now.start * _now.factor(rows)
    return slice(start, start + rows)


@contextmanager
def common_draws(device: torch.device) -> Iterator[None]:
    """What is drawn inside is the same in all processes."""
    if _now is None:
        yield
        return
    seed = torch.zeros((), dtype=torch.int64)
    if _now.processes.main:
        seed = torch.randint(2**62, ())
    _now.processes.sum_(seed)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(seed))
        yield


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, now: _Sharing) -> Tensor:
        context.now = now
        return now.processes.sum_(x.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Total.apply(gradients[0], context.now), None


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, now: _Sharing) -> Tensor:
        factor = now.factor(len(x))
        own = slice(now.start * factor, (now.start + now.own) * factor)
        context.now, context.own, context.rows = now, own, len(x)
        # zeros but for one's own, and then the sum: exact, and the parts need not be of one length
        everything = x.new_zeros(now.total * factor, *x.shape[1:])
        everything[own] = x[: now.own * factor]
        return now.processes.sum_(everything)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        own = _Total.apply(gradients[0], context.now)[context.own]
        return own if context.now.own else own.new_zeros(context.rows, *own.shape[1:]), None


def _apply_total(x: Tensor) -> Tensor:
    result: Tensor = _Total.apply(x, _now)
    return result


def _apply_whole(x: Tensor) -> Tensor:
    result: Tensor = _Whole.apply(x, _now)
    return result


_total: Callable[[Tensor], Tensor] = _apply_total
_whole: Callable[[Tensor], Tensor] = _apply_whole


def _leave_out_of_graphs() -> None:
    """Let compilation leave the exchange out. Done when it is first needed: torch takes a second to import what does it."""
    global _total, _whole
    if _total is _apply_total:
        _total, _whole = torch.compiler.disable(_apply_total), torch.compiler.disable(_apply_whole)
