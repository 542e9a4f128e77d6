"""Data sets with known factors: one datum for each combination of their values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor

from vaelab.datasets.base import Dataset, DatasetConfig
from vaelab.datasets.binarisation import Binariser
from vaelab.datasets.factor_grid import FactorGrid, GridSplit
from vaelab.datasets.hashing import uniform
from vaelab.datasets.partition import MAX_SEED, Part, partition, permutation
from vaelab.errors import BuildError, DataError
from vaelab.limits import require_memory
from vaelab.types import DataSpec, DataSplits, Shape, Values


class FactorDatasetConfig(DatasetConfig):
    """Arguments that data sets with known factors have beside those of all data sets."""

    test_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the combinations held out for the test, at random; without effect where `held_out` says which."""

    split_seed: NonNegativeInt = Field(default=0, le=MAX_SEED)
    """Seed of the random choices that make the splits."""

    held_out: dict[str, tuple[NonNegativeInt, ...]] | None = None
    """The combinations held out for the test: those in which each of the named factors has one of the values listed."""

    correlated: tuple[str, str] | None = None
    """Two factors that are correlated in the training and validation data and independent in the test data."""

    correlation_width: PositiveFloat = 0.2
    """Width sigma of the correlation, where both factors range from 0 to 1; the smaller, the stronger."""


C = TypeVar("C", bound=FactorDatasetConfig)


class FactorDataset(Dataset[C], Generic[C]):
    r"""A data set with one datum for each combination of its factors; a subclass writes `grid`, `shape` and `read`.

    With `held_out` the test asks for combinations that training lacks, though it has each value (compositional
    generalisation, Schott et al. 2022); without, a seeded permutation decides. With `correlated` a training datum with
    values $a, b \in [0, 1]$ of the two factors is kept with probability $e^{-(a-b)^2/2\sigma^2}$ (Träuble et al.
    2021, with $\sigma$ in units of the range). Each split is in random order, so that its first data are a sample.
    """

    #: The factor that is the label, where it is one of the grid's.
    label: ClassVar[str] = "shape"

    #: What the numbers of a datum are before binarisation.
    values: ClassVar[Values] = "unit"

    def __init__(self, config: C) -> None:
        super().__init__(config)
        self._check_names()

    @property
    @abstractmethod
    def grid(self) -> FactorGrid:
        """All combinations, in the order of the data."""

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Of one datum, (C, H, W)."""

    @abstractmethod
    def read(self, y: Tensor | None) -> tuple[Part, Mapping[str, Any]]:
        """All data in the order of the grid, with the labels `y`, and where they come from.

        Raises:
            DataError: they are not there or damaged.
        """

    @property
    def spec(self) -> DataSpec:
        """Shape and values of one datum, with the factors; the label is one of them."""
        grid = self.grid
        classes = {factor.name: factor.size for factor in grid.factors}.get(self.label)
        return replace(self._describe(self.shape, self.values, classes), factors=grid.factors)

    def load(self) -> DataSplits:
        """Read the data and hold out what the config says."""
        spec, grid, config = self.spec, self.grid, self.config
        # a number for each factor of each datum
        required = 8 * len(grid) * (len(grid.factors) + 4)
        require_memory(
            required, f"dataset '{config.kind}' with {len(grid)} data", "Lower the numbers of values.", DataError
        )
        rows = torch.arange(len(grid))
        factors = grid.combinations(rows)
        y = factors[:, grid.names.index(self.label)] if spec.num_classes is not None else None
        part, provenance = self.read(y)
        order = permutation(len(grid), config.split_seed)
        if config.held_out is None:
            number = max(1, round(config.test_fraction * len(grid)))
            train, test = order[:-number], order[-number:]
        else:
            held = torch.ones(len(grid), dtype=torch.bool)
            for name, values in config.held_out.items():
                held &= torch.isin(factors[:, grid.names.index(name)], torch.tensor(values))
            train, test = order[~held[order]], order[held[order]]
        if config.correlated is not None:
            train = train[self._kept(factors[train], train)]
        if not len(train):
            raise DataError(f"dataset '{config.kind}': nothing is left to train on. Hold out less.")
        chosen = [_Chosen(part, grid, which) for which in (train, test)]
        splits = partition(config, spec, chosen[0], chosen[1], provenance)
        named = {"factors": {factor.name: factor.size for factor in grid.factors}}
        keys = ("test_fraction", "split_seed", "held_out", "correlated", "correlation_width")
        rule = {"split_rule": "by factors", "factor_split": {key: getattr(config, key) for key in keys}}
        return replace(splits, provenance={**splits.provenance, **named, **rule})

    def _kept(self, factors: Tensor, rows: Tensor) -> Tensor:
        assert self.config.correlated is not None
        sizes = {factor.name: factor.size for factor in self.grid.factors}
        a, b = (
            factors[:, self.grid.names.index(name)].double() / max(sizes[name] - 1, 1)
            for name in self.config.correlated
        )
        probability = torch.exp(-((a - b) ** 2) / (2 * self.config.correlation_width**2))
        return uniform(self.config.split_seed, "correlated", rows, 1)[:, 0] < probability

    def _check_names(self) -> None:
        sizes = {factor.name: factor.size for factor in self.grid.factors}
        held_out = self.config.held_out or {}
        for name in (*held_out, *(self.config.correlated or ())):
            if name not in sizes:
                raise BuildError(
                    f"dataset '{self.config.kind}' has no factor '{name}'. It has: {', '.join(sizes) or 'none'}."
                )
        for name, values in held_out.items():
            if not values or max(values) >= sizes[name]:
                raise BuildError(
                    f"dataset '{self.config.kind}': \"held_out\" lists {list(values)} for the factor '{name}', whose values "
                    f"are 0 to {sizes[name] - 1}. List one or more of those."
                )


@dataclass(frozen=True)
class _Chosen:
    """Some of the data of a part, in this order."""

    part: Part
    grid: FactorGrid
    chosen: Tensor

    def __len__(self) -> int:
        return len(self.chosen)

    def select(self, rows: Tensor, spec: DataSpec, binariser: Binariser) -> GridSplit:
        which = self.chosen[rows]
        return GridSplit(self.part.select(which, spec, binariser), spec, self.grid, which)
