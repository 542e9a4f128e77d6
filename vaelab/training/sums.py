"""Sums of the logged terms, which stay on the device between two lines of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vaelab.objectives import MODEL, Loss


class TermSums:
    """Sums of each term over the data since the last line; the host sees them when a line is made, and never between."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._sums: Tensor | None = None
        self._count = 0

    def add(self, losses: Mapping[str, Loss]) -> None:
        """The terms of one batch, each `[B]`."""
        terms = {name: term for loss in losses.values() for name, term in loss.terms.items()}
        sums = torch.stack([term.detach() for term in terms.values()]).sum(1)
        if self._sums is None:
            self._names, self._sums = list(terms), sums
        else:
            self._sums += sums
        self._count += len(losses[MODEL].value)

    def means(self) -> dict[str, float]:
        """The mean of each term over the data that were added, which are forgotten with it."""
        assert self._sums is not None
        means = dict(zip(self._names, (self._sums / self._count).tolist(), strict=True))
        self._sums, self._count = None, 0
        return means

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a checkpoint holds of a line that is not full."""
        tensors = {} if self._sums is None else {"sums": self._sums}
        return tensors, {"names": self._names, "count": self._count}

    def load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any], device: torch.device) -> None:
        """The inverse of `state`."""
        self._sums = tensors["sums"].to(device) if "sums" in tensors else None
        self._names, self._count = state["names"], state["count"]
