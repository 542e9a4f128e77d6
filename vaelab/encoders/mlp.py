"""Multilayer perceptron encoder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor

from vaelab.encoders.base import Encoder
from vaelab.nets import Activation, mlp
from vaelab.registry import ENCODERS, ComponentConfig
from vaelab.types import BuildContext, numel


class MLPEncoderConfig(ComponentConfig):
    """Arguments of the MLP encoder."""

    kind: Literal["mlp"] = "mlp"

    hidden: tuple[PositiveInt, ...] = Field((200,), min_length=1)
    """Widths of the layers."""

    activation: Activation = "relu"
    """After each layer."""

    @classmethod
    def example(cls) -> MLPEncoderConfig:
        return cls(hidden=(16,))


@ENCODERS.register(MLPEncoderConfig)
class MLPEncoder(Encoder[MLPEncoderConfig]):
    """Fully connected layers over the flattened datum, for data of any shape. Yields one vector.

    $h_l = a(W_l h_{l-1} + b_l)$ with $h_0 = x$, as in Kingma & Welling (2014, appendix C).

    *Cost*: one multiplication a weight and datum; the first layer has D times the first width of them.

    Use it for vectors, for small images and as the baseline that other networks have to beat; it knows nothing of
    neighbouring pixels, and its first layer grows with the image.
    """

    def __init__(self, config: MLPEncoderConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.net = mlp((numel(context.data.shape), *config.hidden), config.activation, last=True)
        self.feature_shapes = ((config.hidden[-1],),)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flatten(1))
