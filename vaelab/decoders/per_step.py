"""Emission at each time step."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor

from vaelab.decoders.base import Decoder
from vaelab.errors import BuildError
from vaelab.nets import Activation, mlp
from vaelab.nets.sequences import from_sequence, sequence_shape
from vaelab.registry import DECODERS, ComponentConfig
from vaelab.types import BuildContext


class PerStepDecoderConfig(ComponentConfig):
    """Arguments of the emission."""

    kind: Literal["per_step"] = "per_step"

    hidden: tuple[PositiveInt, ...] = (64, 64)
    """Widths of the hidden layers."""

    activation: Activation = "relu"
    """After each hidden layer."""

    @classmethod
    def example(cls) -> PerStepDecoderConfig:
        return cls(hidden=(8,))


@DECODERS.register(PerStepDecoderConfig)
class PerStepDecoder(Decoder[PerStepDecoderConfig]):
    """One MLP from the code of step t to the parameters of step t (or of row t of an image), the same for all steps.

    Parameters of $x_t$ are $f(c_t)$, $c_t$ the code of the step: the emission of Krishnan et al. (2017).

    The code is what the prior reads out: $z_t$ of a `markov_chain`, $[z_t, f]$ of `static_and_dynamic`, $[z_t, h_{t-1}]$ of
    a `vrnn`.

    *Cost*: that of one small `mlp` at T steps, all at once.

    Use it for sequences with a latent a step, so that all that passes between steps goes through the prior; it cannot
    copy from one frame to the next by itself.
    """

    stepwise = True

    def __init__(self, config: PerStepDecoderConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.shape = context.parameter_shape
        steps, size = sequence_shape(self.shape)
        if len(context.readout_shape) != 2 or context.readout_shape[0] != steps:
            raise BuildError(
                f"decoder 'per_step' emits {steps} steps, one from each latent step, and {context.names['prior']} "
                f"yields a code of shape {context.readout_shape}. Use a prior with {steps} steps such as 'markov_chain', or "
                "another decoder."
            )
        self.net = mlp((context.readout_shape[1], *config.hidden, size), config.activation, last=False)

    def forward(self, code: Tensor) -> Tensor:
        return from_sequence(self.net(code), self.shape)
