"""Convolutions that see only the pixels before theirs, row by row from the top left."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaelab.nets.blocks import Activation, activation


class MaskedConv2d(nn.Conv2d):
    """A convolution over the pixels above and to the left (van den Oord et al. 2016), size kept.

    Args:
        fan_in: channels.
        fan_out: of the result.
        kernel: odd.
        own: whether a pixel sees itself (mask B) or not (mask A, for the first layer).
    """

    def __init__(self, fan_in: int, fan_out: int, kernel: int, *, own: bool) -> None:
        super().__init__(fan_in, fan_out, kernel, padding=kernel // 2)
        middle = kernel // 2
        mask = torch.zeros(kernel, kernel)
        mask[:middle] = 1
        mask[middle, : middle + own] = 1
        self.mask: Tensor
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight * self.mask, self.bias)


class MaskedBlock(nn.Module):
    """Residual block: 1x1 down, masked 3x3, 1x1 up (van den Oord et al. 2016), given conditioning maps."""

    def __init__(self, channels: int, act: Activation) -> None:
        super().__init__()
        half = max(1, channels // 2)
        self.act = activation(act)
        self.down = nn.Conv2d(channels, half, 1)
        self.masked = MaskedConv2d(half, half, 3, own=True)
        self.up = nn.Conv2d(half, channels, 1)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.up(self.act(self.masked(self.act(self.down(self.act(h))))))


class MaskedStack(nn.Module):
    """Parameters of each pixel from the pixels before it and from conditioning maps at every pixel.

    The conditioning enters unmasked, but only where it stands: a 1x1 convolution of it is added to the first layer.

    Args:
        channels: C of the image.
        features: channels of the conditioning maps.
        out: parameters a pixel.
        width: channels inside.
        kernel: of the first layer.
        blocks: residual blocks.
        act: activation.
    """

    def __init__(
        self, channels: int, features: int, out: int, width: int, kernel: int, blocks: int, act: Activation
    ) -> None:
        super().__init__()
        self.first = MaskedConv2d(channels, width, kernel, own=False)
        self.condition = nn.Conv2d(features, width, 1)
        self.blocks = nn.Sequential(*(MaskedBlock(width, act) for _ in range(blocks)))
        self.last = nn.Sequential(activation(act), nn.Conv2d(width, out, 1))
        #: how many rows up and columns to the side a pixel's parameters depend on
        self.reach = kernel // 2 + blocks

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """`[N, C, H, W]` and `[N, features, H, W]` to `[N, out, H, W]`."""
        return self.last(self.blocks(self.first(x) + self.condition(features)))
