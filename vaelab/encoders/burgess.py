"""The convolutional encoder of the disentanglement literature."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from vaelab.encoders.base import Encoder
from vaelab.nets import activation, mlp
from vaelab.nets.strided import BurgessConfig, StridedDown, levels_of
from vaelab.registry import ENCODERS
from vaelab.types import BuildContext, numel


class BurgessEncoderConfig(BurgessConfig):
    """Arguments of the encoder of Burgess et al.; the defaults are the paper's."""

    kind: Literal["burgess"] = "burgess"

    @classmethod
    def example(cls) -> BurgessEncoderConfig:
        return cls(channels=4, hidden=(12, 8))


@ENCODERS.register(BurgessEncoderConfig)
class BurgessEncoder(Encoder[BurgessEncoderConfig]):
    """Four 32-channel convolutions of kernel 4 and stride 2, then two layers of 256 (Burgess et al. 2018, appendix A).

    $h_l = a(W_l * h_{l-1} + b_l)$ with a the activation, ReLU by default, and $*$ a convolution; then the same with
    products of matrices.

    Written for 64x64 pixels; other sizes get as many levels as leave 4 pixels. Yields one vector.

    *Cost*: linear in the pixels, with at most 32 channels; the layer of 256 behind the last map holds most
    parameters of large pictures.

    Use it to compare with published disentanglement scores, which mostly stand on this network; where they do not
    matter, `conv` or `resnet` can be fitted to the data.
    """

    def __init__(self, config: BurgessEncoderConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        levels = levels_of("encoder", config.kind, context.data, config.levels)
        down = StridedDown(context.data.shape, (config.channels,) * levels, lambda: activation(config.activation))
        sizes = (numel(down.out_shape), *config.hidden)
        self.net = nn.Sequential(down, nn.Flatten(), *mlp(sizes, config.activation, last=True))
        self.feature_shapes = ((sizes[-1],),)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
