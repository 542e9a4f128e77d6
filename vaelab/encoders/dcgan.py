"""The discriminator of DCGAN as an encoder."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from vaelab.encoders.base import Encoder
from vaelab.nets.strided import StridedDown, levels_of
from vaelab.registry import ENCODERS, ComponentConfig
from vaelab.types import BuildContext, numel


class DCGANEncoderConfig(ComponentConfig):
    """Arguments of the DCGAN encoder; the defaults are the paper's."""

    kind: Literal["dcgan"] = "dcgan"

    channels: PositiveInt = 64
    """Width of the first convolution; each further one has twice as many."""

    levels: PositiveInt | None = None
    """Convolutions of stride 2. By default down to 4 pixels: 4 for 64x64 as in the paper, 3 for 32x32."""

    norm: bool = True
    """Batch normalisation after each convolution but the first."""

    @classmethod
    def example(cls) -> DCGANEncoderConfig:
        return cls(channels=2, levels=2)


@ENCODERS.register(DCGANEncoderConfig)
class DCGANEncoder(Encoder[DCGANEncoderConfig]):
    r"""Convolutions of stride 2 with batch normalisation and leaky ReLUs of slope 0.2 (Radford et al. 2016, section 3).

    $h_l = \ell(\mathrm{BN}(W_l * h_{l-1}))$ with $\ell(u) = \max(u, 0.2\,u)$; the first layer has no normalisation.

    Kernel 4, where the paper draws 5. Yields the flattened last map. In training a datum's features depend on its batch.

    *Cost*: linear in the pixels, as `conv`; the widest layers hold most parameters.

    Use it to reproduce models of the GAN literature; batch normalisation makes the loss of a datum depend on its batch,
    which `resnet` avoids.
    """

    def __init__(self, config: DCGANEncoderConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        levels = levels_of("encoder", config.kind, context.data, config.levels)
        widths = [config.channels * 2**i for i in range(levels)]
        down = StridedDown(context.data.shape, widths, lambda: nn.LeakyReLU(0.2), norm=config.norm)
        self.net = nn.Sequential(down, nn.Flatten())
        self.feature_shapes = ((numel(down.out_shape),),)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
