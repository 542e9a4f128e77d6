"""Coloured pictures made of the grey pictures of another data set."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from vaelab.datasets.hashing import uniform
from vaelab.datasets.wrapped import WrappedSplit, WrappingConfig, WrappingDataset
from vaelab.errors import BuildError
from vaelab.registry import DATASETS
from vaelab.types import Batch, DataSpec, Split


class ColouredConfig(WrappingConfig):
    """Arguments of coloured pictures."""

    kind: Literal["coloured"] = "coloured"

    size: PositiveInt = 32
    """Height and width; pictures are set in the middle, and the rest is 0 before the colours."""

    seed: NonNegativeInt = 0
    """Of the colours, two a datum for ever."""

    @classmethod
    def example(cls) -> Self:
        return cls.model_validate({"data": {"kind": "digits", "train_limit": 64, "test_limit": 32}, "size": 10})


@DATASETS.register(ColouredConfig)
class Coloured(WrappingDataset):
    r"""Each grey picture g in two colours, $b + (f - b)\,g$ in each of the three channels.

    A palette of this kind makes digits a colour set as in Kim et al. (2019), whose colours depend on the label;
    here they do not.

    The background b is uniform on the dark half of the colours, $[0, \frac12]^3$, and the foreground f on the bright half,
    $[\frac12, 1]^3$. Both follow from the seed, the split and the datum's position. The result is rounded to multiples of
    1/255, so that likelihoods of 256 levels suit it. Colour pictures for a machine without a network; they are no
    benchmark.

    *Cost*: a few operations a pixel for each batch.
    """

    config: ColouredConfig

    def describe(self, inner: DataSpec) -> DataSpec:
        kind, size = self.config.data.kind, self.config.size
        if len(inner.shape) != 3 or inner.shape[0] != 1 or inner.values == "real" or inner.masked:
            raise BuildError(
                f"dataset 'coloured' colours complete pictures (1, H, W) of bits or grey levels in [0, 1], and those of "
                f"dataset '{kind}' have shape {inner.shape}, values '{inner.values}'"
                f"{' and hidden pixels' if inner.masked else ''}. Use such a data set."
            )
        if inner.companion is not None:
            raise BuildError(
                f"dataset 'coloured' leaves companions grey. Wrap it by dataset '{kind}', not the reverse."
            )
        if max(inner.shape[1:]) > size:
            raise BuildError(
                f"dataset 'coloured' sets pictures of {inner.shape[1]} x {inner.shape[2]} pixels in a square of {size}. "
                f'Set "size" to {max(inner.shape[1:])} or more.'
            )
        return replace(inner, shape=(3, size, size), values="unit")

    def wrap(self, inner: Split, name: str) -> Split:
        return _ColouredSplit(inner, self.spec, self.config, name)


class _ColouredSplit(WrappedSplit):
    def __init__(self, inner: Split, spec: DataSpec, config: ColouredConfig, name: str) -> None:
        super().__init__(inner, spec)
        self.config = config
        self.name = name

    def change(self, batch: Batch, index: Tensor) -> Batch:
        size = self.config.size
        height, width = size - batch.x.shape[2], size - batch.x.shape[3]
        grey = F.pad(batch.x, (width // 2, width - width // 2, height // 2, height - height // 2))
        numbers = uniform(self.config.seed, f"coloured/{self.name}", index.to(grey.device), 6)
        dark, bright = (0.5 * numbers.unflatten(1, (2, 3, 1, 1))).unbind(1)
        x = dark + (0.5 + bright - dark) * grey
        return replace(batch, x=torch.round(255 * x) / 255)
