"""Convolutions of kernel 4 and stride 2, as in the presets of the literature, for any image size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from pydantic import PositiveInt
from torch import nn

from vaelab.errors import BuildError
from vaelab.nets.batch_norm import BatchNorm2d
from vaelab.nets.blocks import Activation
from vaelab.registry import ComponentConfig
from vaelab.types import DataSpec, Shape, require_image

#: Makes a new activation layer.
MakeActivation = Callable[[], nn.Module]


class BurgessConfig(ComponentConfig):
    """Arguments that encoder and decoder of Burgess et al. (2018) share; the defaults are the paper's."""

    channels: PositiveInt = 32
    """Width of each convolution."""

    levels: PositiveInt | None = None
    """Convolutions of kernel 4 and stride 2, in the decoder transposed. By default to or from 4 pixels: 4 for 64x64 as in
    the paper, 3 for 32x32."""

    hidden: tuple[PositiveInt, ...] = (256, 256)
    """Widths of the fully connected layers at the side of the latents."""

    activation: Activation = "relu"
    """After each layer, but the decoder's last."""


def strided_sizes(height: int, width: int, times: int) -> list[tuple[int, int]]:
    """The sizes that `times` convolutions of kernel 4, stride 2 and padding 1 pass through, the input's first."""
    sizes = [(height, width)]
    for _ in range(times):
        height, width = height // 2, width // 2
        sizes.append((height, width))
    return sizes


def levels_of(family: str, kind: str, data: DataSpec, number: int | None) -> int:
    """How many halvings a preset does: the given number, or as many as leave four pixels or more on the shorter side.

    Raises:
        BuildError: the data are no images, or too small for so many halvings.
    """
    require_image(family, kind, data)
    shorter = min(data.shape[1:])
    levels = number if number is not None else max(1, (shorter // 4).bit_length() - 1)
    if shorter >> levels < 1:
        raise BuildError(
            f"{family} '{kind}' halves height and width {levels} times, and the data have shape {data.shape}. Use fewer "
            f"levels, or the {family} 'conv'."
        )
    return levels


class StridedDown(nn.Sequential):
    """Halvings, one a width, rounding down: `[N, C, H, W]` to `[N, channels[-1], h, w]`.

    Args:
        shape: `(C, H, W)`.
        channels: widths.
        act: makes the activation after each.
        norm: batch normalisation between, but not after the first (Radford et al. 2016, section 3).
    """

    def __init__(self, shape: Shape, channels: Sequence[int], act: MakeActivation, *, norm: bool = False) -> None:
        layers: list[nn.Module] = []
        width = shape[0]
        for i, out in enumerate(channels):
            normed = norm and i > 0
            # a bias before a normalisation would have no effect
            layers.append(nn.Conv2d(width, out, 4, stride=2, padding=1, bias=not normed))
            layers += [BatchNorm2d(out), act()] if normed else [act()]
            width = out
        super().__init__(*layers)
        self.out_shape: Shape = (width, *strided_sizes(shape[1], shape[2], len(channels))[-1])


class StridedUp(nn.Sequential):
    """The mirror image of `StridedDown`, linear at its end: `[N, channels[0], h, w]` to `[N, *target]`.

    Args:
        channels: widths from the coarsest to the finest level.
        target: `(C, H, W)`.
        act: makes the activation after each layer but the last.
        norm: batch normalisation after each layer but the last.
    """

    def __init__(self, channels: Sequence[int], target: Shape, act: MakeActivation, *, norm: bool = False) -> None:
        sizes = strided_sizes(target[1], target[2], len(channels))[::-1]
        layers: list[nn.Module] = []
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise([*channels, target[0]])):
            now, then = sizes[i], sizes[i + 1]
            last = i == len(channels) - 1
            normed = norm and not last
            odd = (then[0] - 2 * now[0], then[1] - 2 * now[1])
            layers.append(
                nn.ConvTranspose2d(fan_in, fan_out, 4, stride=2, padding=1, output_padding=odd, bias=not normed)
            )
            layers += [BatchNorm2d(fan_out)] if normed else []
            layers += [] if last else [act()]
        super().__init__(*layers)
