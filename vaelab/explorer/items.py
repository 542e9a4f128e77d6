"""Data as the page shows them: pictures, curves, tables."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vaelab.evaluation.images import png
from vaelab.figures.sheets import MOST_LINES, value_range
from vaelab.figures.tiles import as_picture, in_rows, mosaic, square_frame
from vaelab.types import DataSpec, Shape
from vaelab.wording import some

Item = dict[str, Any]

#: Pixels of the longer side of a thumbnail, at most.
_THUMBNAIL = 48
#: Frames of a sequence in a row.
_FRAMES = 10
#: Vectors with more numbers than this are shown as curves, others as tables.
_MOST_ROWS = 64


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, its levels where it has some, and the mean and scale that it was standardised with."""

    name: str
    levels: tuple[str, ...] = ()
    loc: float = 0.0
    scale: float = 1.0

    def written(self, value: float) -> str:
        """A value in the column's own terms."""
        if self.levels:
            return self.levels[min(max(round(value), 0), len(self.levels) - 1)]
        return f"{value * self.scale + self.loc:.4g}"


def columns_of(size: int, provenance: Mapping[str, Any], levels: Mapping[int, int]) -> list[Column]:
    """The columns of a vector: named as the manifest has them, else by their numbers.

    Args:
        size: number of columns.
        provenance: of the data set.
        levels: numbers of levels of the columns that the likelihood holds for categories.
    """
    named = provenance.get("columns")
    scales = provenance.get("standardised", {})
    if isinstance(named, Mapping) and len(named) == size:
        return [
            Column(name, () if known == "real" else tuple(known), *scales.get(name, (0.0, 1.0)))
            for name, known in named.items()
        ]
    return [Column(f"column {i}", tuple(map(str, range(levels.get(i, 0))))) for i in range(size)]


class Items:
    """Makes items of data.

    Args:
        spec: of the data.
        examples: some of them, from which the range of real numbers is taken.
        columns: of vectors.
    """

    def __init__(self, spec: DataSpec, examples: Iterable[Tensor], columns: list[Column]) -> None:
        self.spec = spec
        self.low, self.high = value_range(examples) if spec.values == "real" else (0.0, 1.0)
        self.columns = columns
        self.frame: Shape | None = square_frame(spec.shape[1]) if len(spec.shape) == 2 else None

    @property
    def form(self) -> str:
        """What a datum is shown as: `picture`, `curves` or `table`."""
        shape = self.spec.shape
        if len(shape) == 3 or (len(shape) == 2 and (self.frame or shape[1] > MOST_LINES)):
            return "picture"
        return "table" if len(shape) == 1 and shape[0] <= _MOST_ROWS else "curves"

    def item(self, x: Tensor, observed: Tensor | None = None) -> Item:
        """One datum `[*shape]`; numbers that were not observed are half grey, or named as hidden."""
        x = x.detach().cpu().float()
        seen = None if observed is None else observed.cpu()
        if self.form == "picture":
            return self._picture(x if seen is None else torch.where(seen, x, (self.low + self.high) / 2))
        if self.form == "curves":
            series = x.unsqueeze(1) if x.ndim == 1 else x
            return {"form": "curves", "lines": [[round(value, 5) for value in line] for line in series.T.tolist()]}
        cells = [
            {"column": column.name, "value": column.written(value), "hidden": seen is not None and not bool(seen[i])}
            for i, (column, value) in enumerate(zip(self.columns, x.tolist(), strict=True))
        ]
        return {"form": "table", "cells": cells}

    def thumbnail(self, x: Tensor) -> Item:
        """The same, small."""
        x = x.detach().cpu().float()
        if self.form == "picture":
            return self._picture(x, _THUMBNAIL)
        if self.form == "curves":
            return self.item(x)
        words = [f"{c.name} {c.written(value)}" for c, value in zip(self.columns, x.tolist(), strict=True)]
        return {"form": "words", "words": some(words, 4)}

    def _picture(self, x: Tensor, longest: int | None = None) -> Item:
        image = self._image((x - self.low) / (self.high - self.low))
        if longest is not None and max(image.shape[-2:]) > longest:
            size = [max(1, round(side * longest / max(image.shape[-2:]))) for side in image.shape[-2:]]
            image = F.interpolate(image.unsqueeze(0), size=size, mode="area")[0]
        source = "data:image/png;base64," + base64.b64encode(png(image.nan_to_num(0.5))).decode()
        return {"form": "picture", "source": source, "width": image.shape[-1], "height": image.shape[-2]}

    def _image(self, x: Tensor) -> Tensor:
        if x.ndim == 3:
            return as_picture(x)
        if self.frame is not None:
            return mosaic(in_rows([step.reshape(self.frame) for step in x], min(_FRAMES, len(x))))
        return x.T.unsqueeze(0)  # time runs to the right

    def from_hand(self, values: list[float]) -> Tensor:
        """`[*shape]` from the grey levels of a picture, or the numbers of a vector in the columns' own terms."""
        x = torch.tensor(values)
        if self.form == "table":
            scales = torch.tensor([1.0 if column.levels else column.scale for column in self.columns])
            locs = torch.tensor([0.0 if column.levels else column.loc for column in self.columns])
            return (x - locs) / scales
        x = x.clamp(0, 1).view(self.spec.shape)
        if self.spec.values == "binary":
            return (x > 0.5).float()
        # data are bytes, and some likelihoods know no levels between them
        return (x * 255).round() / 255 if self.spec.values == "unit" else self.low + x * (self.high - self.low)

    def why_not_by_hand(self) -> str:
        """Why such data cannot be made by hand, or empty."""
        shape = self.spec.shape
        if len(shape) == 3 and shape[0] in (1, 3) and math.prod(shape) <= 2**16:
            return ""
        if self.form == "table":
            return ""
        what = "sequences" if len(shape) == 2 else "vectors this long" if len(shape) == 1 else "pictures like these"
        return f"{what.capitalize()} cannot be drawn by hand. Choose one of the test data."
