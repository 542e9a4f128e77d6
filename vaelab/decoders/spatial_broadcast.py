"""Spatial broadcast decoder."""

from __future__ import annotations

from typing import Literal

import torch
from einops import repeat
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelab.decoders.base import Decoder
from vaelab.nets import Activation, activation, fold
from vaelab.registry import DECODERS, ComponentConfig
from vaelab.types import BuildContext, numel, require_image


class SpatialBroadcastConfig(ComponentConfig):
    """Arguments of the spatial broadcast decoder; the defaults are the paper's."""

    kind: Literal["spatial_broadcast"] = "spatial_broadcast"

    channels: tuple[PositiveInt, ...] = Field((64, 64, 64, 64), min_length=1)
    """Widths of the 3x3 convolutions."""

    activation: Activation = "relu"
    """After each of them."""

    @classmethod
    def example(cls) -> SpatialBroadcastConfig:
        return cls(channels=(6, 6))


@DECODERS.register(SpatialBroadcastConfig)
class SpatialBroadcast(Decoder[SpatialBroadcastConfig]):
    r"""The code copied to every pixel beside the pixel's coordinates, and convolutions of stride 1 (Watters et al. 2019).

    Pixel (i, j) of the first map is $[z,\; 2j/(W-1) - 1,\; 2i/(H-1) - 1]$.

    `[K, B, D]` becomes `[K, B, D + 2, H, W]`, coordinates running from -1 to 1. Position is then a function that need not be
    learned, which helps latents of position to come apart. The last layer is a 1x1 convolution to the parameters. All
    levels have the data's full resolution, so that it costs more than a decoder of the same width that goes up by steps.

    *Cost*: all layers at full resolution, linear in the pixels.

    Use it to disentangle position from appearance; all its layers run at full resolution, which is slow, and fine
    texture is not its strength.
    """

    def __init__(self, config: SpatialBroadcastConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        require_image("decoder", config.kind, context.data)
        channels, height, width = context.parameter_shape
        rows, columns = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
        self.grid: Tensor
        self.register_buffer("grid", torch.stack(torch.meshgrid(rows, columns, indexing="ij")), persistent=False)
        layers: list[nn.Module] = []
        fan_in = numel(context.readout_shape) + 2
        for fan_out in config.channels:
            layers += [nn.Conv2d(fan_in, fan_out, 3, padding=1), activation(config.activation)]
            fan_in = fan_out
        self.net = nn.Sequential(*layers, nn.Conv2d(fan_in, channels, 1))

    def _broadcast(self, code: Tensor) -> Tensor:
        """`[N, *code]` to `[N, D + 2, H, W]`."""
        height, width = self.grid.shape[1:]
        everywhere = repeat(code.flatten(1), "n d -> n d h w", h=height, w=width)
        return torch.cat([everywhere, self.grid.expand(len(code), -1, -1, -1)], 1)

    def forward(self, code: Tensor) -> Tensor:
        return fold(lambda z: self.net(self._broadcast(z)), code)
