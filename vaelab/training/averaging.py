"""Running mean of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of a model's parameters (Polyak & Juditsky 1992), for evaluation.

    While fewer than about 1 / (1 - decay) steps are done the decay is smaller, so that the start is forgotten:
    min(decay, (1 + t) / (10 + t)).

    Args:
        model: whose parameters are averaged. Buffers are not: they are running means themselves.
        decay: of the average.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.parameters = dict(model.named_parameters())
        self.decay = decay
        self.averages = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}

    @torch.no_grad()
    def update(self, step: int, out: Tensor | None = None) -> None:
        """After optimiser step number `step` (from 1), unless `out`, a truth value on the device, says that it was left out."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current: list[Tensor] = [parameter.data for parameter in self.parameters.values()]
        averages = list(self.averages.values())
        if out is None:
            torch._foreach_lerp_(averages, current, 1 - decay)
        else:
            moves = torch._foreach_sub(current, averages)
            torch._foreach_mul_(moves, (1 - decay) * ~out)
            torch._foreach_add_(averages, moves)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The averages stand in for the parameters inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, parameter in self.parameters.items():
            parameter.data, self.averages[name] = self.averages[name], parameter.data
