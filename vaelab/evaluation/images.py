"""Images as PNG files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaelab.errors import DataError
from vaelab.figures.tiles import as_picture, in_rows, mosaic
from vaelab.files import replacing

if TYPE_CHECKING:
    from PIL.Image import Image as PictureFile


def grid(images: Tensor, columns: int | None = None) -> Tensor:
    """Many images in one, `[1 or 3, H', W']`, on white.

    Args:
        images: `[N, C, H, W]` in [0, 1]; channels that are not 1 or 3 stand side by side.
        columns: images a row; by default as near to a square as possible.
    """
    return mosaic(in_rows(images, columns))


def save_png(images: Tensor, path: Path) -> None:
    """Write one image `[C, H, W]`, or a grid of images `[N, C, H, W]`, in [0, 1], as an 8-bit PNG.

    Grey with one channel, RGB with three, otherwise the channels side by side. Values outside [0, 1] are clipped. The
    file appears whole or not at all.

    Raises:
        DataError: the tensor has another number of axes, or holds no image.
        StorageError: the file cannot be written.
    """
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise DataError(f"images have the axes [C, H, W] or [N, C, H, W], and these have shape {tuple(images.shape)}")
    image = grid(images) if images.ndim == 4 else images
    with replacing(path) as temporary:
        _as_pil(image).save(temporary, format="PNG")


def png(image: Tensor) -> bytes:
    """One image `[C, H, W]` in [0, 1] as `save_png` writes it, packed for speed."""
    out = io.BytesIO()
    _as_pil(image).save(out, format="PNG", compress_level=1)
    return out.getvalue()


def _as_pil(image: Tensor) -> PictureFile:
    from PIL import Image

    levels = (as_picture(image.detach().cpu().float()).clamp(0, 1) * 255).round().to(torch.uint8)
    array = levels[0] if len(levels) == 1 else levels.permute(1, 2, 0)
    return Image.fromarray(array.contiguous().numpy())
