"""Data that come in pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from vaelab.datasets.wrapped import WrappedSplit, WrappingConfig, WrappingDataset, labels_of
from vaelab.errors import BuildError
from vaelab.registry import DATASETS
from vaelab.types import Batch, DataSpec, Split


class PairsConfig(WrappingConfig):
    """Arguments of paired data."""

    kind: Literal["pairs"] = "pairs"

    share: Literal["label"] = "label"
    """What the two of a pair have in common."""


@DATASETS.register(PairsConfig)
class Pairs(WrappingDataset):
    """Another data set in pairs that share something, for weak supervision (Bouchacourt et al. 2018).

    Each training datum comes with another of the same label, drawn anew each time, as its companion. The label itself
    is not told. Validation and test data come alone.
    """

    config: PairsConfig

    def describe(self, inner: DataSpec) -> DataSpec:
        if inner.num_classes is None:
            raise BuildError(
                f"dataset 'pairs' makes pairs of the same label, and dataset '{self.config.data.kind}' has none (or does not "
                "say how many classes there are)."
            )
        return replace(inner, companion="pair")

    def wrap(self, inner: Split, name: str) -> Split:
        return _SameLabel(inner, self.spec, labels_of(inner, "pairs")) if name == "train" else inner


class _SameLabel(WrappedSplit):
    def __init__(self, inner: Split, spec: DataSpec, y: Tensor) -> None:
        super().__init__(inner, spec)
        # data in the order of their labels, so that those of one label are a range
        self.order = y.argsort(stable=True)
        self.y = y
        count = torch.bincount(y)
        self.count = count
        self.first = count.cumsum(0) - count

    def change(self, batch: Batch, index: Tensor) -> Batch:
        y = self.y[index.cpu()]
        drawn = (torch.rand(len(y)) * self.count[y]).long().clamp_max(self.count[y] - 1)
        other = self.inner.fetch(self.order[self.first[y] + drawn])
        return replace(batch, y=None, companion=replace(other, y=None))
