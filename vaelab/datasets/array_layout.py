"""Which axis of an array is what."""

from __future__ import annotations

from typing import Literal

from einops import rearrange
from torch import Tensor

from vaelab.errors import DataError
from vaelab.types import Shape

Layout = Literal["auto", "as_is", "hw", "hwc"]

#: Numbers of channels that a picture may have.
_CHANNELS = range(1, 5)


def arranged_shape(shape: Shape, layout: Layout, where: str) -> Shape:
    """The shape of a datum after `arrange`.

    Raises:
        DataError: the number of axes does not fit the layout, or `auto` would have to guess.
    """
    axes = {"hw": 2, "hwc": 3}.get(layout, len(shape))
    if len(shape) != axes:
        raise DataError(
            f"{where}: layout '{layout}' needs data with {axes} axes, and the shape of a datum is {shape}. Set another layout."
        )
    if layout == "hw" or (layout == "auto" and len(shape) == 2):
        return (1, *shape)
    if layout == "hwc":
        return (shape[2], shape[0], shape[1])
    if layout == "auto" and len(shape) == 3 and shape[0] not in _CHANNELS and shape[2] in _CHANNELS:
        raise DataError(
            f'{where}: data of shape {shape} look like pictures with channels last. Set "layout" to "hwc" '
            'if they are, to "as_is" if not.'
        )
    return shape


def arrange(x: Tensor, layout: Layout) -> Tensor:
    """`[N, *stored]` to `[N, *shape]`."""
    if layout == "hw" or (layout == "auto" and x.ndim == 3):
        return rearrange(x, "n h w -> n 1 h w")
    if layout == "hwc":
        return rearrange(x, "n h w c -> n c h w")
    return x
