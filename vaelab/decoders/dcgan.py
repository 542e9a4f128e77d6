"""The generator of DCGAN as a decoder."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from vaelab.decoders.base import Decoder
from vaelab.nets import Unflatten, fold
from vaelab.nets.batch_norm import BatchNorm2d
from vaelab.nets.strided import StridedUp, levels_of, strided_sizes
from vaelab.registry import DECODERS, ComponentConfig
from vaelab.types import BuildContext, numel


class DCGANDecoderConfig(ComponentConfig):
    """Arguments of the DCGAN decoder; the defaults are the paper's."""

    kind: Literal["dcgan"] = "dcgan"

    channels: PositiveInt = 128
    """Width of the finest level; each coarser one has twice as many, 1024 at 4x4 of 64x64 pixels."""

    levels: PositiveInt | None = None
    """Transposed convolutions of stride 2. By default up from 4 pixels: 4 for 64x64 as in the paper, 3 for 32x32."""

    norm: bool = True
    """Batch normalisation after each layer but the last."""

    @classmethod
    def example(cls) -> DCGANDecoderConfig:
        return cls(channels=2, levels=2)


@DECODERS.register(DCGANDecoderConfig)
class DCGANDecoder(Decoder[DCGANDecoderConfig]):
    r"""A linear layer to the coarsest map, then transposed convolutions with ReLUs (Radford et al. 2016, figure 1).

    $h_l = \max(\mathrm{BN}(W_l * h_{l-1}), 0)$, $*$ a transposed convolution.

    Kernel 4, where the paper draws 5, and linear at its end: the likelihood says what the outputs are. With batch
    normalisation, p(x | z) of one datum depends on the others while training; evaluation uses running statistics.

    *Cost*: linear in the pixels; the widest layers are the coarsest ones and hold most parameters.

    Use it to reproduce models of the GAN literature, or with `adversarial_data`; with batch normalisation a datum's
    likelihood depends on its batch in training.
    """

    def __init__(self, config: DCGANDecoderConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        target = context.parameter_shape
        levels = levels_of("decoder", config.kind, context.data, config.levels)
        widths = [config.channels * 2**i for i in reversed(range(levels))]
        coarse = (widths[0], *strided_sizes(target[1], target[2], levels)[-1])
        project = nn.Linear(numel(context.readout_shape), numel(coarse), bias=not config.norm)
        norm = [BatchNorm2d(coarse[0])] if config.norm else []
        up = StridedUp(widths, target, nn.ReLU, norm=config.norm)
        self.net = nn.Sequential(nn.Flatten(), project, Unflatten(coarse), *norm, nn.ReLU(), up)

    def forward(self, code: Tensor) -> Tensor:
        return fold(self.net, code)
