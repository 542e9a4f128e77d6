"""Recurrent encoder."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from vaelab.encoders.base import Encoder
from vaelab.nets.sequences import as_sequence, feature_shapes, sequence_shape, step_features
from vaelab.registry import ENCODERS, ComponentConfig
from vaelab.types import BuildContext


class GRUEncoderConfig(ComponentConfig):
    """Arguments of the recurrent encoder."""

    kind: Literal["gru"] = "gru"

    hidden: PositiveInt = 128
    """Width of the state."""

    direction: Literal["backward", "both"] = "backward"
    """What the feature of step t has seen: the data from t on (all that z_t's exact posterior needs), or everything."""

    @classmethod
    def example(cls) -> GRUEncoderConfig:
        return cls(hidden=8)


@ENCODERS.register(GRUEncoderConfig)
class GRUEncoder(Encoder[GRUEncoderConfig]):
    r"""A GRU over the time steps, or over the rows of an image. Yields one feature a step (Krishnan et al. 2017).

    From the last step to the first, $h_t = (1 - u_t) \odot n_t + u_t \odot h_{t+1}$ with the gates of Cho et al.
    (2014): $u_t = \sigma(W_u x_t + U_u h_{t+1} + b_u)$, $r_t = \sigma(W_r x_t + U_r h_{t+1} + b_r)$ and $n_t =
    \tanh(W x_t + b + r_t \odot (U h_{t+1} + c))$.

    Latent groups before the steps, of a prior such as `static_and_dynamic`, receive the last states, which have seen the
    whole sequence.

    *Cost*: T steps one after another, each quadratic in the width, and twice that in both directions.

    Use it for sequences whose posterior should see the data to come, or with the direction `both` the past as well; time
    steps are computed one after another, so long sequences are slow.
    """

    def __init__(self, config: GRUEncoderConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        steps, size = sequence_shape(context.data.shape)
        both = config.direction == "both"
        self.gru = nn.GRU(size, config.hidden, batch_first=True, bidirectional=both)
        self.latent = context.latent
        self.feature_shapes = feature_shapes((config.hidden * (2 if both else 1),), steps, context.latent)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        sequence = as_sequence(x)
        if self.config.direction == "both":
            states, last = self.gru(sequence)
            return step_features(states.unbind(1), torch.cat(last.unbind(0), 1), self.latent)
        states = self.gru(sequence.flip(1))[0].flip(1)
        return step_features(states.unbind(1), states[:, 0], self.latent)
