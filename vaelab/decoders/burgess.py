"""The convolutional decoder of the disentanglement literature."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from vaelab.decoders.base import Decoder
from vaelab.nets import Unflatten, activation, fold, mlp
from vaelab.nets.strided import BurgessConfig, StridedUp, levels_of, strided_sizes
from vaelab.registry import DECODERS
from vaelab.types import BuildContext, numel


class BurgessDecoderConfig(BurgessConfig):
    """Arguments of the decoder of Burgess et al.; the defaults are the paper's."""

    kind: Literal["burgess"] = "burgess"

    @classmethod
    def example(cls) -> BurgessDecoderConfig:
        return cls(channels=4, hidden=(8, 12))


@DECODERS.register(BurgessDecoderConfig)
class BurgessDecoder(Decoder[BurgessDecoderConfig]):
    """The encoder `burgess` transposed: two layers of 256, then four convolutions (Burgess et al. 2018, appendix A).

    $h_l = a(W_l * h_{l-1} + b_l)$, $*$ a transposed convolution of kernel 4; the last layer is linear.

    *Cost*: linear in the pixels, with at most 32 channels, for each of the K draws.

    Use it with the encoder `burgess` to compare with published disentanglement scores; elsewhere `conv` or `resnet` can
    be fitted to the data.
    """

    def __init__(self, config: BurgessDecoderConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        target = context.parameter_shape
        levels = levels_of("decoder", config.kind, context.data, config.levels)
        coarse = (config.channels, *strided_sizes(target[1], target[2], levels)[-1])
        layers = mlp((numel(context.readout_shape), *config.hidden, numel(coarse)), config.activation, last=True)
        up = StridedUp((config.channels,) * levels, target, lambda: activation(config.activation))
        self.net = nn.Sequential(nn.Flatten(), *layers, Unflatten(coarse), up)

    def forward(self, code: Tensor) -> Tensor:
        return fold(self.net, code)
