"""Convolutional blocks for any image size."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from vaelab.types import Shape


def halvings(height: int, width: int, times: int) -> list[tuple[int, int]]:
    """The sizes that `times` stride-2 convolutions (kernel 3, padding 1) pass through, the input's first."""
    sizes = [(height, width)]
    for _ in range(times):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes


class ConvDown(nn.Sequential):
    """Stride-2 convolutions, one a width: `[N, C, H, W]` to `[N, channels[-1], h, w]`."""

    def __init__(self, shape: Shape, channels: Sequence[int], act: type[nn.Module] = nn.ReLU) -> None:
        layers: list[nn.Module] = []
        width = shape[0]
        for out in channels:
            layers += [nn.Conv2d(width, out, 3, stride=2, padding=1), act()]
            width = out
        super().__init__(*layers)
        self.out_shape: Shape = (width, *halvings(shape[1], shape[2], len(channels))[-1])


class ConvUp(nn.Sequential):
    """The mirror image of `ConvDown`: `[N, channels[0], h, w]` to `[N, C, H, W]`, linear at its end.

    Each transposed convolution pads its output so as to meet the size that `ConvDown` passed through, so that any
    height and width can be produced.

    Args:
        start: `(h, w)`, one of the sizes that `len(channels)` halvings of the target pass through.
        channels: widths from the coarsest to the finest level.
        target: `(C, H, W)`.
        act: class of the activation.
    """

    def __init__(
        self, start: tuple[int, int], channels: Sequence[int], target: Shape, act: type[nn.Module] = nn.ReLU
    ) -> None:
        sizes = halvings(target[1], target[2], len(channels))
        level = sizes.index(start)
        layers: list[nn.Module] = []
        widths = [*channels, target[0]]
        # a finer start than the coarsest level needs fewer doublings: the first layers keep the resolution
        keep = len(channels) - level
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            if i < keep:
                layers.append(nn.Conv2d(fan_in, fan_out, 3, padding=1))
            else:
                now, then = sizes[len(channels) - i], sizes[len(channels) - i - 1]
                padding = (then[0] - (2 * now[0] - 1), then[1] - (2 * now[1] - 1))
                layers.append(nn.ConvTranspose2d(fan_in, fan_out, 3, stride=2, padding=1, output_padding=padding))
            layers.append(act())
        super().__init__(*layers[:-1])


class ResidualBlock(nn.Module):
    """Pre-activation residual block of two 3x3 convolutions (He et al. 2016), `[N, C, H, W]` to `[N, out, H, W]`.

    The last convolution starts at zero, so that a deep stack begins as the identity (Zhang et al. 2019, Fixup).

    Args:
        channels: C.
        out: of the result.
        act: before both convolutions.
        scale: what the last convolution's first weights are multiplied by.
    """

    def __init__(self, channels: int, out: int, act: nn.Module, scale: float = 0.0) -> None:
        super().__init__()
        self.act = act
        self.first = nn.Conv2d(channels, out, 3, padding=1)
        self.second = nn.Conv2d(out, out, 3, padding=1)
        if scale == 0:
            nn.init.zeros_(self.second.weight)
        else:
            self.second.weight.data *= scale
        assert self.second.bias is not None
        nn.init.zeros_(self.second.bias)
        self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.act(self.first(self.act(x))))
        return self.skip(x) + y
