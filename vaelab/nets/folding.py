"""Folding the importance samples into the batch, for layers that know one batch axis only."""

from __future__ import annotations

from collections.abc import Callable

from einops import rearrange
from torch import Tensor


def fold(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a function of `[N, ...]` to `[K, B, ...]`."""
    y = function(rearrange(x, "k b ... -> (k b) ..."))
    return rearrange(y, "(k b) ... -> k b ...", k=x.shape[0])
