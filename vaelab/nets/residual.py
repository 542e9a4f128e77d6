"""What keeps a deep stack of layers near the identity when it starts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaelab.nets.blocks import Activation, activation
from vaelab.nets.conv import ResidualBlock
from vaelab.nets.folding import fold
from vaelab.types import Shape


class ResidualVector(nn.Module):
    """Pre-activation residual block of two linear layers over the last axis.

    Args:
        size: of the vectors.
        act: before both layers.
        scale: what the last layer's first weights are multiplied by.
    """

    def __init__(self, size: int, act: nn.Module, scale: float) -> None:
        super().__init__()
        self.act = act
        self.first = nn.Linear(size, size)
        self.second = nn.Linear(size, size)
        self.second.weight.data *= scale
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.act(self.first(self.act(x))))


class ResidualLayers(nn.Module):
    """Residual blocks of vectors or maps, `[K, B, *shape]` to the same.

    Args:
        shape: `(D,)` or `(C, H, W)`.
        act: of each block.
        blocks: how many.
        scale: what each block's last weights are multiplied by at the start.
    """

    def __init__(self, shape: Shape, act: Activation, blocks: int, scale: float) -> None:
        super().__init__()
        self.maps = len(shape) == 3
        layers: list[nn.Module] = []
        for _ in range(blocks):
            width = shape[0]
            block = ResidualBlock(width, width, activation(act), scale) if self.maps else None
            layers.append(block or ResidualVector(width, activation(act), scale))
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return fold(self.net, x) if self.maps else self.net(x)


def shrink_last(module: nn.Module, factor: float) -> None:
    """Multiply the first weights of a module's last linear or convolutional layer, and set its bias to zero."""
    last = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
    last.weight.data *= factor
    if last.bias is not None:
        nn.init.zeros_(last.bias)


def soft_clamp(x: Tensor, bound: float = 5.0) -> Tensor:
    """$5\\tanh(x/5)$, the identity near 0 with a limit that has a gradient (Vahdat & Kautz 2020, their code)."""
    return bound * torch.tanh(x / bound)
