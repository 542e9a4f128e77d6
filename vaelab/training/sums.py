"""Sums of the logged terms, which stay on the device between two lines of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vaelab.objectives import MODEL, Loss

#: Names, sums and numbers of data, as they were at some time. Tensors in it are never changed, only replaced.
Snapshot = tuple[list[str], Tensor | None, Tensor | int]


class TermSums:
    """Sums of each term over the data since the last line; the host sees them when a line is made, and never between."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._sums: Tensor | None = None
        self._count: Tensor | int = 0

    def add(self, losses: Mapping[str, Loss]) -> None:
        """The terms of one batch, each `[B]`."""
        terms = {name: term for loss in losses.values() for name, term in loss.terms.items()}
        with torch.no_grad():
            sums = torch.stack(list(terms.values())).sum(1)
        if self._sums is None:
            self._names, self._sums = list(terms), sums
        else:
            self._sums = self._sums + sums
        self._count = self._count + len(losses[MODEL].value)

    def finite(self) -> Tensor:
        """Whether each term's sum is finite, `[terms]`."""
        assert self._sums is not None
        return self._sums.isfinite()

    @property
    def names(self) -> list[str]:
        """The terms, in the order of `finite`."""
        return self._names

    def snapshot(self) -> Snapshot:
        """What `put_back` takes."""
        return self._names, self._sums, self._count

    def put_back(self, before: Snapshot, where: Tensor | None = None) -> None:
        """Be as before.

        Args:
            before: a snapshot.
            where: a truth value on the device that says whether; the host does not look at it.
        """
        names, sums, count = before
        if where is None:
            self._names, self._sums, self._count = names, sums, count
        else:
            assert self._sums is not None
            self._sums = torch.where(where, torch.zeros_like(self._sums) if sums is None else sums, self._sums)
            self._count = torch.where(where, count, self._count)

    def means(self) -> dict[str, float]:
        """The mean of each term over the data that were added, which are forgotten with it."""
        means = {} if self._sums is None else dict(zip(self._names, (self._sums / self._count).tolist(), strict=True))
        self._sums, self._count = None, 0
        return means

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a checkpoint holds of a line that is not full."""
        tensors = {} if self._sums is None else {"sums": self._sums}
        return tensors, {"names": self._names, "count": int(self._count)}

    def load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any], device: torch.device) -> None:
        """The inverse of `state`."""
        self._sums = tensors["sums"].to(device) if "sums" in tensors else None
        self._names, self._count = state["names"], state["count"]
        if isinstance(self._count, list):  # several processes wrote it, and it is read by another number of them
            self._count = sum(self._count)
            self._sums = None if self._sums is None else self._sums.sum(0)
