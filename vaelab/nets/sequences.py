"""Sequences: images as rows, features of steps and of whole sequences."""

from __future__ import annotations

from collections.abc import Sequence

from einops import rearrange
from torch import Tensor

from vaelab.types import LatentSpec, Shape


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


def static_groups(latent: LatentSpec, steps: int) -> int:
    """How many latent groups come before the first of `steps` time steps that share their weights; 0 without such steps."""
    before = max(0, latent.depth - steps)
    static, dynamic = set(latent.weights[:before]), set(latent.weights[before:])
    return before if len(dynamic) == 1 and not static & dynamic else 0


def step_features(steps: Sequence[Tensor], whole: Tensor, latent: LatentSpec) -> tuple[Tensor, ...]:
    """One feature a latent group, in their order.

    Args:
        steps: the feature of each time step, `[B, F]`.
        whole: the feature of the whole sequence, `[B, F]`, for the groups that are no steps.
        latent: the groups.
    """
    return (whole,) * static_groups(latent, len(steps)) + tuple(steps)


def feature_shapes(shape: Shape, steps: int, latent: LatentSpec) -> tuple[Shape, ...]:
    """The shapes of what `step_features` yields."""
    return (shape,) * (static_groups(latent, steps) + steps)
