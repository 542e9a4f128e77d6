"""Data sets made of another data set: what its batches hold is changed on their way to the model."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated, Any, Self

import torch
from torch import Tensor

from vaelab.datasets.base import Dataset
from vaelab.errors import DataError
from vaelab.registry import DATASETS, ComponentConfig
from vaelab.types import Batch, DataSpec, DataSplits, Split


class WrappingConfig(ComponentConfig):
    """Arguments of a data set made of another."""

    data: Annotated[ComponentConfig, DATASETS]
    """The data set that is changed, with its own binarisation, validation part and limits."""

    @classmethod
    def example(cls) -> Self:
        return cls.model_validate({"data": {"kind": "digits", "train_limit": 64, "test_limit": 32}})


class WrappedSplit:
    """A split that changes the batches of another; a subclass writes `change`.

    Args:
        inner: the other split.
        spec: of one datum after the change.
    """

    def __init__(self, inner: Split, spec: DataSpec) -> None:
        self.inner = inner
        self.spec = spec

    def __len__(self) -> int:
        return len(self.inner)

    def fetch(self, index: Tensor) -> Batch:
        """The data at these positions (`[B]`, int64)."""
        return self.change(self.inner.fetch(index), index)

    def batches(self, order: Tensor, batch_size: int) -> Iterator[Batch]:
        """The data in this order, in batches; the last one may be smaller."""
        if order.numel():
            positions = torch.split(order, batch_size)
            for index, batch in zip(positions, self.inner.batches(order, batch_size), strict=True):
                yield self.change(batch, index)

    def to(self, device: torch.device) -> Self:
        """The same split, whose batches arrive on another device. One that keeps tensors moves them too."""
        moved = copy.copy(self)
        moved.inner = self.inner.to(device)
        return moved

    def change(self, batch: Batch, index: Tensor) -> Batch:
        """The batch that the model sees.

        Args:
            batch: of the other split, on the device where batches arrive.
            index: `[B]` positions of its data, on any device.
        """
        raise NotImplementedError


class WrappingDataset(Dataset[Any]):
    """A data set made of another; a subclass writes `describe` and `wrap`.

    Attributes:
        inner: the other data set.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.inner: Dataset[Any] = DATASETS.build(config.data)

    @property
    def spec(self) -> DataSpec:
        """The other data set's, changed."""
        return self.describe(self.inner.spec)

    def load(self) -> DataSplits:
        """Read the other data set and wrap its splits. The provenance is its own, with the changes added in order."""
        data = self.inner.load()
        said = {name: value for name, value in self.config.model_dump(mode="json").items() if name != "data"}
        return DataSplits(
            self.wrap(data.train, "train"),
            None if data.validation is None else self.wrap(data.validation, "validation"),
            self.wrap(data.test, "test"),
            {**data.provenance, "changes": [*data.provenance.get("changes", ()), said]},
        )

    @abstractmethod
    def describe(self, inner: DataSpec) -> DataSpec:
        """The specification after the change.

        Raises:
            BuildError: the other data cannot be changed like this.
        """

    @abstractmethod
    def wrap(self, inner: Split, name: str) -> Split:
        """One split after the change; `name` is `train`, `validation` or `test`."""


def labels_of(split: Split, kind: str) -> Tensor:
    """All labels of a split `[N]`, read once; the random state stays as it was.

    Raises:
        DataError: it has none.
    """
    found = []
    with torch.random.fork_rng(devices=[]):  # data that are binarised anew draw while they are read
        for batch in split.batches(torch.arange(len(split)), 10_000):
            if batch.y is None:
                raise DataError(f"dataset '{kind}' needs labels, and the data that it is made of have none")
            found.append(batch.y.cpu())
    return torch.cat(found)
