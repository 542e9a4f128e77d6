"""Encoder of each time step by itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor

from vaelab.encoders.base import Encoder
from vaelab.nets import Activation, mlp
from vaelab.nets.sequences import as_sequence, feature_shapes, sequence_shape, step_features
from vaelab.registry import ENCODERS, ComponentConfig
from vaelab.types import BuildContext


class PerStepEncoderConfig(ComponentConfig):
    """Arguments of the encoder of steps."""

    kind: Literal["per_step"] = "per_step"

    hidden: tuple[PositiveInt, ...] = Field((128,), min_length=1)
    """Widths of the layers."""

    activation: Activation = "relu"
    """After each layer."""

    @classmethod
    def example(cls) -> PerStepEncoderConfig:
        return cls(hidden=(8,))


@ENCODERS.register(PerStepEncoderConfig)
class PerStepEncoder(Encoder[PerStepEncoderConfig]):
    r"""One MLP from $x_t$ to the feature of step t (or from row t of an image), the same for all steps.

    The feature of a step has seen that step alone, so that the posterior is a filter, $q(z_t \mid x_t, z_{<t})$, as in the
    VRNN of Chung et al. (2015, equation 9), whose past is in the prior's state. Latent groups before the steps, of a prior
    such as `static_and_dynamic`, receive the mean of the steps' features.

    *Cost*: that of one small `mlp` at T steps, all at once.

    Use it where each step's posterior may see no other step, as in filtering and in the VRNN; with a prior that keeps
    no past it throws away what other steps say.
    """

    def __init__(self, config: PerStepEncoderConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        steps, size = sequence_shape(context.data.shape)
        self.net = mlp((size, *config.hidden), config.activation, last=True)
        self.latent = context.latent
        self.feature_shapes = feature_shapes((config.hidden[-1],), steps, context.latent)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features = self.net(as_sequence(x))
        return step_features(features.unbind(1), features.mean(1), self.latent)
