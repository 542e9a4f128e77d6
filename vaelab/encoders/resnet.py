"""Residual convolutional encoder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelab.encoders.base import Encoder
from vaelab.nets import Activation, ResidualBlock, activation, halvings, mlp
from vaelab.registry import ENCODERS, ComponentConfig
from vaelab.types import BuildContext, Shape, numel, require_image


class ResNetEncoderConfig(ComponentConfig):
    """Arguments of the residual encoder."""

    kind: Literal["resnet"] = "resnet"

    channels: tuple[PositiveInt, ...] = Field((32, 64, 64), min_length=1)
    """Widths of the levels. The first has the resolution of the data; each further one halves it, rounding up."""

    blocks: PositiveInt = 2
    """Residual blocks of each level."""

    hidden: tuple[PositiveInt, ...] = (256,)
    """Widths of the fully connected layers after them; none keeps the feature map."""

    activation: Activation = "silu"
    """Inside the blocks and after each fully connected layer."""

    @classmethod
    def example(cls) -> ResNetEncoderConfig:
        return cls(channels=(4, 6), blocks=1, hidden=(12,))


@ENCODERS.register(ResNetEncoderConfig)
class ResNetEncoder(Encoder[ResNetEncoderConfig]):
    """Pre-activation residual blocks (He et al. 2016) with stride-2 convolutions between the levels.

    A block is $h + W_2 * a(W_1 * a(h))$.

    There is no normalisation: each block starts as the identity (Zhang et al. 2019). Yields one vector, or one map.

    *Cost*: linear in the pixels and in the number of blocks, two convolutions each.

    Use it for images where `conv` stops improving with depth; it costs several times as much a step, and on small grey
    images gains little.
    """

    def __init__(self, config: ResNetEncoderConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        require_image("encoder", config.kind, context.data)
        width, height, breadth = context.data.shape
        layers: list[nn.Module] = []
        for level, channels in enumerate(config.channels):
            layers.append(nn.Conv2d(width, channels, 3, stride=1 if level == 0 else 2, padding=1))
            layers += [ResidualBlock(channels, channels, activation(config.activation)) for _ in range(config.blocks)]
            width = channels
        layers.append(activation(config.activation))
        shape: Shape = (width, *halvings(height, breadth, len(config.channels) - 1)[-1])
        if config.hidden:
            layers += [nn.Flatten(), *mlp((numel(shape), *config.hidden), config.activation, last=True)]
            shape = (config.hidden[-1],)
        self.net = nn.Sequential(*layers)
        self.feature_shapes = (shape,)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
