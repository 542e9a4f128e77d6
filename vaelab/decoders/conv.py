"""Convolutional decoder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelab.decoders.base import Decoder
from vaelab.errors import BuildError
from vaelab.nets import Activation, ConvUp, Unflatten, activation, fold, halvings, mlp
from vaelab.registry import DECODERS, ComponentConfig
from vaelab.types import BuildContext, numel, require_image


class ConvDecoderConfig(ComponentConfig):
    """Arguments of the convolutional decoder."""

    kind: Literal["conv"] = "conv"

    channels: tuple[PositiveInt, ...] = Field((64, 32), min_length=1)
    """Widths from the coarsest level to the finest; each level doubles height and width, up to the data's."""

    hidden: tuple[PositiveInt, ...] = (256,)
    """Widths of fully connected layers before them; unused where the code is a map."""

    activation: Activation = "relu"
    """After each layer but the last."""

    @classmethod
    def example(cls) -> ConvDecoderConfig:
        return cls(channels=(8, 4), hidden=(16,))


@DECODERS.register(ConvDecoderConfig)
class ConvDecoder(Decoder[ConvDecoderConfig]):
    """Transposed convolutions up to images of any size, the mirror image of the encoder `conv`.

    $h_l = a(W_l * h_{l-1} + b_l)$, $*$ a transposed convolution of kernel 3 and stride 2 (Zeiler et al. 2010); the
    last layer is linear.

    A code that is a vector (or a sequence of them) is first spread over the coarsest map; a code that is a map enters
    at the level that has its resolution.

    *Cost*: linear in the pixels, and K times that with K draws.

    Use it for images as the first choice: cheap, at any size. Transposed convolutions may leave a checkerboard, which
    `resnet` avoids.
    """

    def __init__(self, config: ConvDecoderConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        require_image("decoder", config.kind, context.data)
        code, target = context.readout_shape, context.parameter_shape
        act = activation(config.activation)
        sizes = halvings(target[1], target[2], len(config.channels))
        before: list[nn.Module]
        if len(code) == 3:
            start = (code[1], code[2])
            if start not in sizes:
                raise BuildError(
                    f"decoder 'conv' cannot reach {target[1]}x{target[2]} from the {start[0]}x{start[1]} map that "
                    f"{context.names['prior']} yields: with {len(config.channels)} channels it passes through "
                    f"{', '.join(f'{h}x{w}' for h, w in sizes)}. Change the channels or the latent map's size."
                )
            before = [nn.Conv2d(code[0], config.channels[0], 3, padding=1), act]
        else:
            start = sizes[-1]
            coarse = (config.channels[0], *start)
            layers = mlp((numel(code), *config.hidden, numel(coarse)), config.activation, last=True)
            before = [nn.Flatten(), *layers, Unflatten(coarse)]
        self.net = nn.Sequential(*before, ConvUp(start, config.channels, target, type(act)))

    def forward(self, code: Tensor) -> Tensor:
        return fold(self.net, code)
