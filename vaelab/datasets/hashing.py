"""Random numbers that follow from a seed and a position alone, so that nothing has to be stored."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed number; likewise the two factors below
_FIRST = -4658895280553007687
_SECOND = -7723592293110705685


def uniform(seed: int, name: str, index: Tensor, columns: int) -> Tensor:
    """Uniform numbers in [0, 1), `[B, columns]`, the same for a datum on every device and in every batch.

    The finaliser of splitmix64 (Steele et al. 2014, "Fast splittable pseudorandom number generators") over a counter.

    Args:
        seed: of the numbers.
        name: keeps streams of one seed apart.
        index: `[B]` positions of the data, int64.
        columns: numbers a datum.
    """
    start = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7], "big")
    counter = index.unsqueeze(1) * columns + torch.arange(columns, device=index.device)
    z = (counter + start) * _GOLDEN
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    z = z ^ _shifted(z, 31)
    return _shifted(z, 40).to(torch.float32) / 2**24


def _shifted(z: Tensor, bits: int) -> Tensor:
    """A shift that fills with zeros, where that of a signed number fills with its sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
