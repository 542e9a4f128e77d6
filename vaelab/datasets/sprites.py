"""Sprites: shapes of known scale, orientation and position, drawn by vaelab itself."""

from __future__ import annotations

import colorsys
import copy
import hashlib
import math
from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator
from torch import Tensor

from vaelab.datasets.drawn import DrawnPart
from vaelab.datasets.factor_grid import FactorGrid
from vaelab.datasets.factors import FactorDataset, FactorDatasetConfig
from vaelab.datasets.outlines import Outline, draw
from vaelab.datasets.partition import Part
from vaelab.registry import DATASETS
from vaelab.types import Factor, Shape


class SpritesConfig(FactorDatasetConfig):
    """Arguments of the sprites."""

    kind: Literal["sprites"] = "sprites"

    size: int = Field(64, ge=8)
    """Side of a picture in pixels."""

    shapes: tuple[Outline, ...] = Field(("square", "ellipse", "heart"), min_length=1)
    """The shapes, in the order of their values."""

    scales: PositiveInt = 6
    """Number of scales, from 1/2 to 1."""

    orientations: PositiveInt = 40
    """Number of orientations, evenly around the circle."""

    positions: PositiveInt = 32
    """Number of positions in each direction, from edge to edge."""

    colours: PositiveInt = 1
    """Number of hues; 1 makes grey pictures with one channel."""

    radius: float = Field(0.2, gt=0, le=0.45)
    """Circumradius of the largest scale, as a share of the picture's side."""

    memory_limit: NonNegativeInt = 2**28
    """Bytes up to which all pictures of a split are drawn once and kept; above it each is drawn when it is needed."""

    @field_validator("shapes")
    @classmethod
    def _different(cls, value: tuple[Outline, ...]) -> tuple[Outline, ...]:
        if len(set(value)) < len(value):
            raise ValueError("list each shape once")
        return value

    @classmethod
    def example(cls) -> Self:
        """384 pictures of 16 x 16 pixels."""
        return cls.model_validate({"size": 16, "scales": 2, "orientations": 4, "positions": 4})


@DATASETS.register(SpritesConfig)
class Sprites(FactorDataset[SpritesConfig]):
    r"""White or coloured shapes on black, one picture for each shape, scale, orientation, x and y; needs no file.

    The default grid is that of dSprites (Matthey et al. 2017), $3 \cdot 6 \cdot 40 \cdot 32^2 = 737{,}280$ pictures of
    64 x 64 pixels, with edges in grey levels: `"binarisation": "threshold"` makes them bits as there. Two things
    differ from dSprites: the outlines are vaelab's own, and the 40 angles $2\pi i/40$ do not hold both 0 and $2\pi$. As
    there, a square looks the same after a quarter turn and an ellipse after half a turn, so that the orientation
    cannot be told from all pictures. The shape is the label. Factors with one value are left out, and a hue (`colour`)
    comes first where there are several.

    Pictures are drawn from signed distances, in batches and on the device, and are the same in every run. A random tenth is
    the test split; see `held_out` and `correlated` for others.

    *Cost*: no file; a signed distance for each pixel drawn, once where the split fits into memory and else for each
    batch.
    """

    @property
    def grid(self) -> FactorGrid:
        config = self.config
        sizes = {
            "colour": config.colours,
            "shape": len(config.shapes),
            "scale": config.scales,
            "orientation": config.orientations,
            "x": config.positions,
            "y": config.positions,
        }
        return FactorGrid(tuple(Factor(name, size) for name, size in sizes.items() if size > 1))

    @property
    def shape(self) -> Shape:
        return (1 if self.config.colours == 1 else 3, self.config.size, self.config.size)

    def read(self, y: Tensor | None) -> tuple[Part, Mapping[str, Any]]:
        pencil = Pencil(self.config, self.grid)
        rows = torch.arange(len(pencil))
        # of a few pictures, to notice a change in how they are drawn
        sample = pencil.draw(rows[:: max(1, len(rows) // 64)][:64])
        provenance = {
            "source": "sprites",
            "files": {"64 of them": hashlib.sha256(sample.numpy().tobytes()).hexdigest()},
        }
        return DrawnPart(pencil, y, self.config.memory_limit), provenance


class Pencil:
    """Draws the sprites of a grid."""

    divisor = 255.0

    def __init__(self, config: SpritesConfig, grid: FactorGrid) -> None:
        self.config = config
        self.grid = grid
        self.colours = torch.tensor([colorsys.hsv_to_rgb(i / config.colours, 1, 1) for i in range(config.colours)])

    def __len__(self) -> int:
        return len(self.grid)

    def to(self, device: torch.device) -> Self:
        """The same sprites, drawn on another device."""
        moved = copy.copy(self)
        moved.colours = self.colours.to(device)
        return moved

    def draw(self, rows: Tensor) -> Tensor:
        """Sprites number `rows` `[B]`, as uint8 `[B, C * size * size]`."""
        config = self.config
        values = dict(zip(self.grid.names, self.grid.combinations(rows).unbind(1), strict=True))
        zero = torch.zeros_like(rows)
        radius = config.radius * (0.5 + 0.5 * _share(values.get("scale"), config.scales, zero, alone=1.0))
        angle = values.get("orientation", zero) * (2 * math.pi / config.orientations)
        # the largest scale touches the edges at the first and the last position, up to one pixel
        margin = config.radius + 1 / config.size
        place = torch.stack([_share(values.get(name), config.positions, zero, alone=0.5) for name in "xy"], 1)
        centre = margin + place * (1 - 2 * margin)
        kind = values.get("shape", zero)
        grey = torch.empty(len(rows), config.size**2, dtype=torch.uint8, device=rows.device)
        for i, outline in enumerate(config.shapes):
            some = (kind == i).nonzero().squeeze(1)
            grey[some] = draw(outline, centre[some], radius[some], angle[some], config.size, config.radius)
        if config.colours == 1:
            return grey
        colour = self.colours[values["colour"]].unsqueeze(2)
        return (grey.unsqueeze(1) * colour).round().to(torch.uint8).flatten(1)


def _share(value: Tensor | None, number: int, zero: Tensor, alone: float) -> Tensor:
    """Values 0 to `number` - 1 as numbers from 0 to 1; `alone` where there is only one."""
    return zero + alone if value is None else value / (number - 1)
