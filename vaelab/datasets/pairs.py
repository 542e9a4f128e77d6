"""Data that come in pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from vaelab.datasets.factor_grid import FactorSplit
from vaelab.datasets.wrapped import WrappedSplit, WrappingConfig, WrappingDataset, labels_of
from vaelab.errors import BuildError, DataError
from vaelab.registry import DATASETS
from vaelab.types import Batch, DataSpec, Split


class PairsConfig(WrappingConfig):
    """Arguments of paired data."""

    kind: Literal["pairs"] = "pairs"

    share: Literal["label", "factors"] = "label"
    """What the two of a pair have in common: the label, or all known factors but a few."""

    changed: PositiveInt | None = 1
    """In how many factors the two of a pair differ where they share `factors`; for each pair a number from 1 to one
    less than all where null."""


@DATASETS.register(PairsConfig)
class Pairs(WrappingDataset):
    """Another data set in pairs that share something, for weak supervision (Bouchacourt et al. 2018).

    Each training datum comes with another of the same label, drawn anew each time, as its companion; or, with
    `"share": "factors"`, with one that differs from it in `changed` factors, chosen at random for each pair (Locatello
    et al. 2020, who let a changed factor keep its value by chance). The label and which factors these are is not told.
    Both are training data; a datum whose partners were all held out is its own. Validation and test data come alone.

    *Cost*: twice the data in each batch.
    """

    config: PairsConfig

    def describe(self, inner: DataSpec) -> DataSpec:
        if self.config.share == "factors":
            number, changed = len(inner.factors), self.config.changed or 1
            if number <= changed:
                raise BuildError(
                    f"dataset 'pairs' changes {changed} of the factors and keeps others, and dataset "
                    f"'{self.config.data.kind}' has {number}. Use data with more factors, such as \"sprites\"."
                )
        elif inner.num_classes is None:
            raise BuildError(
                f"dataset 'pairs' makes pairs of the same label, and dataset '{self.config.data.kind}' has none (or does not "
                "say how many classes there are)."
            )
        return replace(inner, companion="pair")

    def wrap(self, inner: Split, name: str) -> Split:
        if name != "train":
            return inner
        if self.config.share == "label":
            return _SameLabel(inner, self.spec, labels_of(inner, "pairs"))
        if not isinstance(inner, FactorSplit):
            raise DataError(
                f"dataset 'pairs' looks data up by their factors, which dataset '{self.config.data.kind}' does not offer. "
                'Wrap the data set with factors itself in "pairs", and "pairs" in the others.'
            )
        return _SameFactors(inner, self.spec, self.config.changed)


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


class _SameFactors(WrappedSplit):
    """Pairs that differ in `changed` factors, or in a random number of them."""

    #: Draws after which a datum is said to have no partner.
    attempts = 200

    def __init__(self, inner: Split, spec: DataSpec, changed: int | None) -> None:
        super().__init__(inner, spec)
        self.changed = changed
        assert isinstance(inner, FactorSplit)
        with torch.random.fork_rng(devices=[]):
            some = inner.factors[:1000].cpu()
            alone = (self._partners(some) == some).all(1).double().mean()
        if alone > 0.5:
            raise DataError(
                f"dataset 'pairs' finds no partner for {float(alone):.0%} of the training data: too few combinations of "
                'factors are among them. Hold out less, or raise "train_limit".'
            )

    def change(self, batch: Batch, index: Tensor) -> Batch:
        assert batch.factors is not None
        assert isinstance(self.inner, FactorSplit)
        partners = self._partners(batch.factors.cpu())
        return replace(batch, y=None, companion=replace(self.inner.fetch_factors(partners), y=None))

    def _partners(self, factors: Tensor) -> Tensor:
        """Combinations `[B, F]` that are in the split; those without a partner there are their own."""
        assert isinstance(self.inner, FactorSplit)
        partners = factors.clone()
        left = torch.arange(len(factors))
        for _ in range(self.attempts):
            drawn = self._drawn(factors[left])
            there = self.inner.holds(drawn).cpu()
            partners[left[there]] = drawn[there]
            left = left[~there]
            if not len(left):
                break
        return partners

    def _drawn(self, factors: Tensor) -> Tensor:
        """Combinations `[B, F]` that differ from these in the right number of factors."""
        sizes = torch.tensor([factor.size for factor in self.spec.factors])
        number = len(sizes)
        count = torch.randint(1, number, (len(factors), 1)) if self.changed is None else self.changed
        # ranks of random numbers: as many are below the count as factors are to change
        rank = torch.rand(len(factors), number).argsort(1).argsort(1)
        step = 1 + (torch.rand(len(factors), number) * (sizes - 1)).long().clamp_max(sizes - 2)
        return torch.where(rank < count, (factors + step) % sizes, factors)
