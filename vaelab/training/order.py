"""The order of the data: it follows from the seed and the step, so that a checkpoint need not hold it."""

from __future__ import annotations

import torch
from torch import Tensor


class Order:
    """Which data each step sees.

    Args:
        seed: of the permutations.
        size: number of training data.
        batch_size: data a batch.
        accumulate: batches a step.
        drop_last: whether an epoch's smaller last batch is left out.
    """

    def __init__(self, seed: int, size: int, batch_size: int, accumulate: int, drop_last: bool) -> None:
        self._seed = seed
        self._size = size
        batches = size // batch_size if drop_last else -(-size // batch_size)
        self._used = batches * batch_size if drop_last else size
        self._step = batch_size * accumulate
        self.steps_per_epoch = -(-batches // accumulate)

    def rest_of_epoch(self, step: int) -> Tensor:
        """The positions of the data from a step (steps done before it) to the end of its epoch."""
        epoch, done = divmod(step, self.steps_per_epoch)
        return epoch_order(self._seed, epoch, self._size)[: self._used][done * self._step :]

    def of_step(self, step: int) -> Tensor:
        """The positions of the data of one step."""
        return self.rest_of_epoch(step)[: self._step]


def epoch_order(seed: int, epoch: int, size: int) -> Tensor:
    """A permutation of the data for an epoch."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(size, generator=generator)
