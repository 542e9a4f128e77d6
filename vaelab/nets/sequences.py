"""Images as sequences of rows."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

from vaelab.types import Shape


def sequence_shape(shape: Shape) -> Shape:
    """`(T, D)` of a datum: a sequence as it is, an image `(C, H, W)` as its H rows, a vector as D scalars."""
    if len(shape) == 3:
        return (shape[1], shape[0] * shape[2])
    return shape if len(shape) == 2 else (shape[0], 1)


def as_sequence(x: Tensor) -> Tensor:
    """`[..., *shape]` data of `[B, *shape]` to `[B, T, D]`."""
    if x.ndim == 4:
        return rearrange(x, "b c h w -> b h (c w)")
    return x if x.ndim == 3 else x.unsqueeze(-1)


def from_sequence(y: Tensor, shape: Shape) -> Tensor:
    """`[K, B, T, D]` back to `[K, B, *shape]`."""
    if len(shape) == 3:
        return rearrange(y, "k b h (c w) -> k b c h w", c=shape[0])
    return y if len(shape) == 2 else y.squeeze(-1)
