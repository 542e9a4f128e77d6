"""Residual convolutional decoder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelab.decoders.base import Decoder
from vaelab.nets import Activation, ResidualBlock, activation, connect, fold, halvings
from vaelab.registry import DECODERS, ComponentConfig
from vaelab.types import BuildContext, require_image


class ResNetDecoderConfig(ComponentConfig):
    """Arguments of the residual decoder."""

    kind: Literal["resnet"] = "resnet"

    channels: tuple[PositiveInt, ...] = Field((64, 64, 32), min_length=1)
    """Widths of the levels, from the coarsest to the one that has the resolution of the data."""

    blocks: PositiveInt = 2
    """Residual blocks of each level."""

    hidden: tuple[PositiveInt, ...] = ()
    """Widths of layers between the code and the first map; residual blocks where the code is a map."""

    activation: Activation = "silu"
    """Inside the blocks."""

    @classmethod
    def example(cls) -> ResNetDecoderConfig:
        return cls(channels=(6, 4), blocks=1)


@DECODERS.register(ResNetDecoderConfig)
class ResNetDecoder(Decoder[ResNetDecoderConfig]):
    """Residual blocks with nearest-neighbour doublings between the levels, the mirror image of the encoder `resnet`.

    A block is $h + W_2 * a(W_1 * a(h))$ (He et al. 2016).

    Doubling by repetition and a convolution, which leaves no checkerboard (Odena et al. 2016). A code that is a map
    enters at the level of its resolution where there is one; every other code is brought to the coarsest map.

    *Cost*: linear in the pixels and in the number of blocks, two convolutions each.

    Use it for images where `conv` stops improving with depth, and for hierarchies of maps; it costs several times as
    much a step.
    """

    def __init__(self, config: ResNetDecoderConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        require_image("decoder", config.kind, context.data)
        code, target = context.readout_shape, context.parameter_shape
        sizes = halvings(target[1], target[2], len(config.channels) - 1)[::-1]
        level = sizes.index((code[1], code[2])) if len(code) == 3 and code[1:] in sizes else 0
        self.start = connect(code, (config.channels[level], *sizes[level]), config.activation, config.hidden)
        layers: list[nn.Module] = []
        width = config.channels[level]
        for channels, size in zip(config.channels[level:], sizes[level:], strict=True):
            if size != sizes[level]:
                layers += [nn.Upsample(size), nn.Conv2d(width, channels, 3, padding=1)]
                width = channels
            layers += [ResidualBlock(width, width, activation(config.activation)) for _ in range(config.blocks)]
        layers += [activation(config.activation), nn.Conv2d(width, target[0], 3, padding=1)]
        self.net = nn.Sequential(*layers)

    def forward(self, code: Tensor) -> Tensor:
        return fold(self.net, self.start(code))
