"""Convolutions over time."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from vaelab.encoders.base import Encoder
from vaelab.nets import Activation, activation
from vaelab.nets.sequences import as_sequence, feature_shapes, sequence_shape, step_features
from vaelab.registry import ENCODERS, ComponentConfig
from vaelab.types import BuildContext


class TemporalConvConfig(ComponentConfig):
    """Arguments of the temporal convolutions."""

    kind: Literal["temporal_conv"] = "temporal_conv"

    width: PositiveInt = 64
    """Channels."""

    layers: PositiveInt = 4
    """Residual layers; the spacing of the taps doubles from one to the next."""

    kernel: PositiveInt = 3
    """Taps of each layer."""

    direction: Literal["backward", "both"] = "backward"
    """What the feature of step t has seen: the data from t on (all that z_t's exact posterior needs), or data on both
    sides. Either way no further than the layers reach, (kernel - 1) * (2^layers - 1) steps in all."""

    activation: Activation = "relu"
    """Inside the layers."""

    @classmethod
    def example(cls) -> TemporalConvConfig:
        return cls(width=6, layers=2)


class DilatedLayer(nn.Module):
    """One residual layer of dilated taps, `[B, C, T]` to the same; taps at t, t + dilation, ... unless centred."""

    def __init__(self, width: int, kernel: int, dilation: int, act: Activation, *, centred: bool) -> None:
        super().__init__()
        span = (kernel - 1) * dilation
        before = span // 2 if centred else 0
        self.padding = (before, span - before)
        self.act = activation(act)
        self.taps = nn.Conv1d(width, width, kernel, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.mix(self.act(self.taps(F.pad(self.act(h), self.padding))))


@ENCODERS.register(TemporalConvConfig)
class TemporalConv(Encoder[TemporalConvConfig]):
    r"""Dilated residual convolutions over the time steps, or over the rows of an image. Yields one feature a step.

    Layer l is $h + M\,a(W *_{2^{l-1}} a(h))$, a convolution whose taps are $2^{l-1}$ steps apart, and M mixes
    channels.

    The residual stack of Bai et al. (2018, section 3), without dropout and weight normalisation, and turned around in time
    where it looks `backward`. Unlike the encoder `gru` all steps are computed at once. Latent groups before the
    steps, of a prior such as `static_and_dynamic`, receive the mean of the steps' features.

    *Cost*: linear in T, and all steps at once, unlike `gru`.

    Use it for long sequences, as all steps are computed at once; it sees no further than its reach, where a `gru` has
    no such limit.
    """

    def __init__(self, config: TemporalConvConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        steps, size = sequence_shape(context.data.shape)
        centred = config.direction == "both"
        self.net = nn.Sequential(
            nn.Conv1d(size, config.width, 1),
            *(
                DilatedLayer(config.width, config.kernel, 2**i, config.activation, centred=centred)
                for i in range(config.layers)
            ),
        )
        self.latent = context.latent
        self.feature_shapes = feature_shapes((config.width,), steps, context.latent)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features = self.net(as_sequence(x).transpose(1, 2))
        return step_features(features.unbind(2), features.mean(2), self.latent)
