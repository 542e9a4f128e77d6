"""Multilayer perceptron decoder."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from vaelab.decoders.base import Decoder
from vaelab.nets import Activation, Unflatten, mlp
from vaelab.registry import DECODERS, ComponentConfig
from vaelab.types import BuildContext, numel


class MLPDecoderConfig(ComponentConfig):
    """Arguments of the MLP decoder."""

    kind: Literal["mlp"] = "mlp"

    hidden: tuple[PositiveInt, ...] = (200,)
    """Widths of the hidden layers; none makes the decoder linear."""

    activation: Activation = "relu"
    """After each hidden layer."""

    @classmethod
    def example(cls) -> MLPDecoderConfig:
        return cls(hidden=(16,))


@DECODERS.register(MLPDecoderConfig)
class MLPDecoder(Decoder[MLPDecoderConfig]):
    """Fully connected layers from the flattened code to the flattened parameters, whatever their shapes.

    $h_l = a(W_l h_{l-1} + b_l)$ with $h_0 = z$ and a linear last layer, as in Kingma & Welling (2014, appendix C).

    *Cost*: the last layer has the last width times the number of parameters of the data, once a draw.

    Use it for vectors and small images, and as a baseline; it knows nothing of neighbouring pixels, so its
    reconstructions of larger images are blurred and costly.
    """

    def __init__(self, config: MLPDecoderConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        sizes = (numel(context.readout_shape), *config.hidden, numel(context.parameter_shape))
        self.net = nn.Sequential(*mlp(sizes, config.activation, last=False), Unflatten(context.parameter_shape))

    def forward(self, code: Tensor) -> Tensor:
        return self.net(code.flatten(2))
