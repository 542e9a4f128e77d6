"""Data as pictures of one or three channels, and many of them in one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor

from vaelab.types import Shape


def as_picture(image: Tensor) -> Tensor:
    """`[C, H, W]` as `[1 or 3, H, W']`: images with two or more than three channels have them side by side."""
    if image.shape[0] in (1, 3):
        return image
    return rearrange(image, "c h w -> 1 h (c w)")


def mosaic(rows: Sequence[Sequence[Tensor]], gap: int | None = None, background: float = 1.0) -> Tensor:
    """Images in rows, `[1 or 3, H', W']`.

    Args:
        rows: images `[C, H, W]` of one shape, in [0, 1]; a row may be shorter than the others.
        gap: pixels between two; by default a twentieth of an image.
        background: what is between them; white by default.
    """
    pictures = [[as_picture(image.detach().cpu().float()) for image in row] for row in rows]
    channels, height, width = pictures[0][0].shape
    gap = mosaic_gap(height, width) if gap is None else gap
    columns = max(len(row) for row in pictures)
    canvas = torch.full((channels, len(rows) * (height + gap) - gap, columns * (width + gap) - gap), background)
    for r, row in enumerate(pictures):
        for c, picture in enumerate(row):
            top, left = r * (height + gap), c * (width + gap)
            canvas[:, top : top + height, left : left + width] = picture.clamp(0, 1)
    return canvas


def mosaic_gap(height: int, width: int) -> int:
    """Pixels between two images of a mosaic."""
    return max(1, round(0.05 * max(height, width)))


def in_rows(items: Sequence[Tensor] | Tensor, columns: int | None = None) -> list[list[Tensor]]:
    """Items in rows of `columns`; by default as near to a square as possible."""
    columns = columns or math.ceil(math.sqrt(len(items)))
    return [list(items[start : start + columns]) for start in range(0, len(items), columns)]


def square_frame(size: int) -> Shape | None:
    """(C, H, W) of a square picture of one or three channels with so many numbers, or None where there is none."""
    for channels in (1, 3):
        side = math.isqrt(size // channels)
        if side > 1 and channels * side**2 == size:
            return (channels, side, side)
    return None
