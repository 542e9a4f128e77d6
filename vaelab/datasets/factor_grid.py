"""Grids of known factors: one datum for each combination of their values."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from vaelab.datasets.wrapped import WrappedSplit
from vaelab.errors import DataError
from vaelab.types import Batch, DataSpec, Factor, Split


@dataclass(frozen=True)
class FactorGrid:
    """All combinations of factors, numbered with the last factor running fastest."""

    factors: tuple[Factor, ...]

    def __len__(self) -> int:
        return math.prod(factor.size for factor in self.factors)

    @property
    def names(self) -> list[str]:
        """Names of the factors, in order."""
        return [factor.name for factor in self.factors]

    def combinations(self, rows: Tensor) -> Tensor:
        """The values of all factors `[B, F]` of combinations number `rows` `[B]`."""
        columns = []
        for factor in reversed(self.factors):
            columns.append(rows % factor.size)
            rows = rows // factor.size
        return torch.stack(columns[::-1], 1)

    def rows(self, factors: Tensor) -> Tensor:
        """The numbers `[B]` of combinations `[B, F]`.

        Raises:
            DataError: the values do not fit the factors.
        """
        sizes = torch.tensor([factor.size for factor in self.factors], device=factors.device)
        if factors.ndim != 2 or factors.shape[1] != len(sizes):
            raise DataError(
                f"combinations are rows of {len(sizes)} values ({', '.join(self.names)}), and these have the "
                f"shape {tuple(factors.shape)}. Give one row a datum."
            )
        if bool(((factors < 0) | (factors >= sizes)).any()):
            limits = ", ".join(f"{factor.name} {factor.size}" for factor in self.factors)
            raise DataError(f"a factor has a value that does not exist; the numbers of values should be: {limits}")
        row = torch.zeros_like(factors[:, 0])
        for column, size in zip(factors.unbind(1), sizes, strict=True):
            row = row * size + column
        return row


@runtime_checkable
class FactorSplit(Protocol):
    """A split whose data can be asked for by their factors.

    Attributes:
        factors: `[N, F]`, int64, the factors of each datum.
    """

    factors: Tensor

    def holds(self, factors: Tensor) -> Tensor:
        """Which of the combinations `[B, F]` are in the split, `[B]`."""
        ...

    def fetch_factors(self, factors: Tensor) -> Batch:
        """The data with these factors `[B, F]`.

        Raises:
            DataError: one of them is not in the split.
        """
        ...


class GridSplit(WrappedSplit):
    """A split of a grid; its batches carry their factors.

    Args:
        inner: the data.
        spec: of one datum, with the factors.
        grid: all combinations.
        rows: `[N]` which combination each datum is.
    """

    def __init__(self, inner: Split, spec: DataSpec, grid: FactorGrid, rows: Tensor) -> None:
        super().__init__(inner, spec)
        self.grid = grid
        self.factors = grid.combinations(rows)
        self._positions = torch.full((len(grid),), -1)
        self._positions[rows] = torch.arange(len(rows))

    def change(self, batch: Batch, index: Tensor) -> Batch:
        """The batch with its factors."""
        return replace(batch, factors=self.factors.index_select(0, index.to(self.factors.device)))

    def holds(self, factors: Tensor) -> Tensor:
        """Which of the combinations `[B, F]` are in the split, `[B]`."""
        return self._find(factors) >= 0

    def fetch_factors(self, factors: Tensor) -> Batch:
        """The data with these factors `[B, F]`.

        Raises:
            DataError: one of them is not in the split.
        """
        index = self._find(factors)
        if bool((missing := index < 0).any()):
            first = dict(zip(self.grid.names, factors[missing.to(factors.device)][0].tolist(), strict=True))
            raise DataError(
                f"{int(missing.sum())} of {len(index)} combinations are not in this split; the first is {first}. "
                "Ask `holds` which are."
            )
        return self.fetch(index)

    def to(self, device: torch.device) -> Self:
        """The same split on another device."""
        moved = super().to(device)
        moved.factors = self.factors.to(device)
        moved._positions = self._positions.to(device)
        return moved

    def _find(self, factors: Tensor) -> Tensor:
        return self._positions[self.grid.rows(factors.to(self._positions.device))]
