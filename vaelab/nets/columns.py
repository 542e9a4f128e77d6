"""Vectors whose columns are of two kinds: real numbers and categories."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor, nn

from vaelab.errors import BuildError
from vaelab.registry import ComponentConfig
from vaelab.shared_batch import mine, shared, total
from vaelab.types import DataSpec

#: Position of a column and its number of levels.
Column = tuple[NonNegativeInt, Annotated[int, Field(ge=2)]]


class ColumnsConfig(ComponentConfig):
    """Arguments of the components that know which columns are categories."""

    categorical: tuple[Column, ...] = ()
    """[column, levels] of each categorical column, counted from 0; it holds 0, 1, ..., levels - 1. The others are real."""


class Columns(nn.Module):
    """Which columns of a vector are what.

    Args:
        family: of the component that asks, for messages.
        config: its config.
        data: must be vectors.

    Raises:
        BuildError: the data are no vectors, or have no such column.
    """

    def __init__(self, family: str, config: ColumnsConfig, data: DataSpec) -> None:
        super().__init__()
        if len(data.shape) != 1:
            raise BuildError(
                f"{family} '{config.kind}' works on vectors of columns, and the data have shape {data.shape}. Use another "
                f"{family}."
            )
        positions = [column for column, _ in config.categorical]
        wrong = [column for column in positions if column >= data.shape[0] or positions.count(column) > 1]
        if wrong:
            raise BuildError(
                f"{family} '{config.kind}' names the categorical column {wrong[0]} twice, or it is none of the data's "
                f'{data.shape[0]} columns (counted from 0). Correct "categorical".'
            )
        self.levels = [levels for _, levels in config.categorical]
        self.categorical: Tensor
        self.real: Tensor
        real = [column for column in range(data.shape[0]) if column not in positions]
        self.register_buffer("categorical", torch.tensor(positions, dtype=torch.long), persistent=False)
        self.register_buffer("real", torch.tensor(real, dtype=torch.long), persistent=False)

    def reals(self, x: Tensor) -> Tensor:
        """The real columns `[..., R]` of `[..., D]`."""
        return x[..., self.real]

    def indices(self, x: Tensor) -> list[Tensor]:
        """The level `[...]` of each categorical column of `[..., D]`; what is none is rounded to one."""
        columns = x[..., self.categorical].unbind(-1)
        return [column.round().clamp(0, levels - 1).long() for column, levels in zip(columns, self.levels, strict=True)]

    def joined(self, real: Tensor, categorical: list[Tensor]) -> Tensor:
        """Columns put back into their places, `[..., D]`."""
        order = torch.cat([self.real, self.categorical]).argsort()
        return torch.cat([real, *(column.unsqueeze(-1) for column in categorical)], -1)[..., order]


class RunningStandardiser(nn.Module):
    """Subtracts the mean and divides by the standard deviation of all that was seen in training, of `[B, D]`.

    The statistics are those of the data so far, not of the batch, so that a datum's result is its own; they are exact
    after the first pass over the data and hardly move after it. The identity before the first batch.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.number: Tensor
        self.mean: Tensor
        self.square: Tensor
        self.register_buffer("number", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("square", torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled():
            self._observe(x.detach())
        # two data or fewer say nothing of a spread
        scale = torch.where(self.number > 2, (self.square / self.number.clamp_min(1)).sqrt(), 1.0)
        return (x - self.mean) / torch.where(scale > 1e-6, scale, 1.0)

    def _observe(self, x: Tensor) -> None:
        """Chan et al. (1979): means and squared deviations of two parts joined."""
        seen = mine(x)
        count = total(self.number.new_tensor(len(seen)))
        mean = total(seen.sum(0)) / count if shared() else x.mean(0)
        new = self.number + count
        delta = mean - self.mean
        self.square += total((seen - mean).square().sum(0)) + delta.square() * self.number * count / new
        self.mean += delta * count / new
        self.number.copy_(new)
