"""Data with hidden pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from vaelab.datasets.hashing import uniform
from vaelab.datasets.wrapped import WrappedSplit, WrappingConfig, WrappingDataset
from vaelab.errors import BuildError
from vaelab.registry import DATASETS
from vaelab.types import Batch, DataSpec, Split


class IncompleteConfig(WrappingConfig):
    """Arguments of incomplete data."""

    kind: Literal["incomplete"] = "incomplete"

    share: float = Field(default=0.5, gt=0, lt=1)
    """Share of a datum that is hidden."""

    mechanism: Literal["pixels", "block", "at_random"] = "pixels"
    """`pixels` hides each number by itself and `block` one rectangle of an image, both completely at random; `at_random`
    always shows the first half of a datum (the upper half of an image) and hides numbers of the second half with a
    probability that grows with what the first half shows."""

    seed: NonNegativeInt = 0
    """Of the masks, one a datum for ever."""


@DATASETS.register(IncompleteConfig)
class Incomplete(WrappingDataset):
    r"""Another data set with hidden pixels: `observed` says which were seen, and what was not seen is 0.

    Zero imputation for the encoder and a likelihood of the observed pixels alone make the bound on $\log p(x^o)$ of
    Mattei & Frellsen (2019, section 2), valid where the data are missing at random. The mask follows from the seed and
    the datum's position. `block` hides a rectangle of the share's area at a uniform place. `at_random` hides with the
    probability $\sigma(\operatorname{logit}(\text{share}) + 4 (\bar x - \frac12))$, $\bar x$ the mean of the half that
    is always shown. Metrics that know the truth, such as `imputation`, find it in `Batch.complete`.

    *Cost*: one mask of the datum's size for each batch.
    """

    config: IncompleteConfig

    def describe(self, inner: DataSpec) -> DataSpec:
        if self.config.mechanism == "block" and len(inner.shape) != 3:
            raise BuildError(
                f"dataset 'incomplete' with the mechanism 'block' hides a rectangle of images (C, H, W), and dataset "
                f"'{self.config.data.kind}' has data of shape {inner.shape}. Use the mechanism 'pixels'."
            )
        return replace(inner, masked=True)

    def wrap(self, inner: Split, name: str) -> Split:
        return _IncompleteSplit(inner, self.spec, self.config, name)


class _IncompleteSplit(WrappedSplit):
    def __init__(self, inner: Split, spec: DataSpec, config: IncompleteConfig, name: str) -> None:
        super().__init__(inner, spec)
        self.config = config
        self.name = name

    def change(self, batch: Batch, index: Tensor) -> Batch:
        complete = batch.x if batch.complete is None else batch.complete
        observed = self._observed(batch.x, index.to(batch.x.device))
        if batch.observed is not None:  # the other data had hidden numbers of their own
            observed = observed & batch.observed
        return replace(batch, x=batch.x * observed, observed=observed, complete=complete)

    def _observed(self, x: Tensor, index: Tensor) -> Tensor:
        share, seed = self.config.share, self.config.seed
        if self.config.mechanism == "block":
            return self._outside_block(x, index)
        flat = x.flatten(1)
        draws = uniform(seed, self.name, index, flat.shape[1])
        if self.config.mechanism == "pixels":
            return (draws >= share).view_as(x)
        half = (flat.shape[1] + 1) // 2
        logit = torch.logit(torch.tensor(share, device=x.device)) + 4 * (flat[:, :half].mean(1, keepdim=True) - 0.5)
        observed = draws >= logit.sigmoid()
        observed[:, :half] = True
        return observed.view_as(x)

    def _outside_block(self, x: Tensor, index: Tensor) -> Tensor:
        height, width = x.shape[2:]
        side = self.config.share**0.5
        rows, columns = max(1, round(side * height)), max(1, round(side * width))
        corner = uniform(self.config.seed, self.name, index, 2)
        top = (corner[:, 0] * (height - rows + 1)).long().view(-1, 1, 1)
        left = (corner[:, 1] * (width - columns + 1)).long().view(-1, 1, 1)
        row = torch.arange(height, device=x.device).view(1, -1, 1)
        column = torch.arange(width, device=x.device).view(1, 1, -1)
        inside = (row >= top) & (row < top + rows) & (column >= left) & (column < left + columns)
        return (~inside).unsqueeze(1).expand(x.shape)
