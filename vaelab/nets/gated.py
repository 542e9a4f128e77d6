"""Gated linear layers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class GatedLinear(nn.Module):
    r"""$(W_1 h + b_1) \odot \sigma(W_2 h + b_2)$, of the last axis (Dauphin et al. 2017; Tomczak & Welling 2018)."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.value = nn.Linear(fan_in, fan_out)
        self.gate = nn.Linear(fan_in, fan_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.value(x) * torch.sigmoid(self.gate(x))


def gated_mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Gated layers of these sizes."""
    return nn.Sequential(*(GatedLinear(fan_in, fan_out) for fan_in, fan_out in itertools.pairwise(sizes)))
