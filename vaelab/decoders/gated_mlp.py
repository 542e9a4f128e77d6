"""Gated multilayer perceptron decoder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelab.decoders.base import Decoder
from vaelab.nets import Unflatten
from vaelab.nets.gated import gated_mlp
from vaelab.registry import DECODERS, ComponentConfig
from vaelab.types import BuildContext, numel


class GatedMLPDecoderConfig(ComponentConfig):
    """Arguments of the gated MLP decoder."""

    kind: Literal["gated_mlp"] = "gated_mlp"

    hidden: tuple[PositiveInt, ...] = Field((300, 300), min_length=1)
    """Widths of the hidden layers."""

    @classmethod
    def example(cls) -> GatedMLPDecoderConfig:
        return cls(hidden=(8, 12))


@DECODERS.register(GatedMLPDecoderConfig)
class GatedMLPDecoder(Decoder[GatedMLPDecoderConfig]):
    r"""Gated layers and a linear one, from the flattened code to the flattened parameters (Tomczak & Welling 2018).

    $h_l = (W_l h_{l-1} + b_l) \odot \sigma(V_l h_{l-1} + c_l)$.

    *Cost*: twice the parameters and the time of an `mlp` of the same widths.

    Use it with the encoder `gated_mlp` to reproduce the VampPrior's results, or where an `mlp` is too weak and the data
    are no images.
    """

    def __init__(self, config: GatedMLPDecoderConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        layers = gated_mlp((numel(context.readout_shape), *config.hidden))
        last = nn.Linear(config.hidden[-1], numel(context.parameter_shape))
        self.net = nn.Sequential(layers, last, Unflatten(context.parameter_shape))

    def forward(self, code: Tensor) -> Tensor:
        return self.net(code.flatten(2))
