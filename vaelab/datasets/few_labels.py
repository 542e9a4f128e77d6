"""Data of which few have a label."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from vaelab.datasets.partition import MAX_SEED, permutation
from vaelab.datasets.wrapped import WrappedSplit, WrappingConfig, WrappingDataset, labels_of
from vaelab.errors import BuildError, DataError
from vaelab.registry import DATASETS
from vaelab.types import Batch, DataSpec, Split


class FewLabelsConfig(WrappingConfig):
    """Arguments of data with few labels."""

    kind: Literal["few_labels"] = "few_labels"

    labels: PositiveInt = 100
    """Number of training data whose label is known, as many of each class as of any other."""

    labelled_batch: PositiveInt | None = None
    """Labelled data that come with a batch, drawn with replacement; by default as many as the batch has."""

    seed: NonNegativeInt = Field(0, le=MAX_SEED)
    """Of the choice of the labelled data."""


@DATASETS.register(FewLabelsConfig)
class FewLabels(WrappingDataset):
    """Another data set of which few training data have a label, as for semi-supervised learning (Kingma et al. 2014).

    The training data come without labels, those of the chosen few as well; each batch brings labelled data as its
    companion, drawn anew from the chosen ones. A condition that is the label is refused, since it would give
    every label away. Validation and test data keep their labels.

    *Cost*: a batch brings more data: those with a label, which the objective passes too.
    """

    config: FewLabelsConfig

    def describe(self, inner: DataSpec) -> DataSpec:
        if inner.num_classes is None:
            raise BuildError(
                f"dataset 'few_labels' needs labels, and dataset '{self.config.data.kind}' has none (or does not say how many "
                "classes there are)."
            )
        if inner.condition_shape is not None:
            raise BuildError(
                "dataset 'few_labels' hides labels, which the condition of the data would tell. Set data.data.condition to "
                '"none".'
            )
        if self.config.labels % inner.num_classes:
            raise BuildError(
                f"dataset 'few_labels': {self.config.labels} labels cannot be spread evenly over {inner.num_classes} classes. "
                f'Set "labels" to a multiple of {inner.num_classes}.'
            )
        return replace(inner, companion="labelled")

    def wrap(self, inner: Split, name: str) -> Split:
        if name != "train":
            return inner
        y = labels_of(inner, "few_labels")
        classes = self.spec.num_classes
        assert classes is not None
        each = self.config.labels // classes
        order = permutation(len(y), self.config.seed)
        chosen = [order[y[order] == label][:each] for label in range(classes)]
        if short := [label for label, rows in enumerate(chosen) if len(rows) < each]:
            raise DataError(
                f"dataset 'few_labels' wants {each} labelled data of each class, and class {short[0]} has "
                f'{len(chosen[short[0]])} among the {len(y)} training data. Lower "labels".'
            )
        return _FewLabelsSplit(inner, self.spec, torch.cat(chosen), self.config.labelled_batch)


class _FewLabelsSplit(WrappedSplit):
    def __init__(self, inner: Split, spec: DataSpec, chosen: Tensor, size: int | None) -> None:
        super().__init__(inner, spec)
        self.chosen = chosen
        self.size = size

    def change(self, batch: Batch, index: Tensor) -> Batch:
        size = self.size or len(batch)
        labelled = self.inner.fetch(self.chosen[torch.randint(len(self.chosen), (size,))])
        return replace(batch, y=None, companion=labelled)
