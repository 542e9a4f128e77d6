"""Bottom-up pyramid: one feature for each latent group."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from vaelab.encoders.base import Encoder
from vaelab.nets import Activation, connect
from vaelab.registry import ENCODERS, ComponentConfig
from vaelab.types import BuildContext, Shape


class PyramidConfig(ComponentConfig):
    """Arguments of the pyramid."""

    kind: Literal["pyramid"] = "pyramid"

    width: PositiveInt = 64
    """Channels of a feature map, or length of a feature vector."""

    blocks: PositiveInt = 1
    """Hidden layers (residual blocks where the features are maps) of each level."""

    activation: Activation = "relu"
    """Inside the levels."""

    @classmethod
    def example(cls) -> PyramidConfig:
        return cls(width=8)


@ENCODERS.register(PyramidConfig)
class Pyramid(Encoder[PyramidConfig]):
    """The deterministic bottom-up path of a ladder (Sønderby et al. 2016).

    From the data down to the top group, level by level, at the resolution that the prior gives each latent group: maps
    where the group is a map, vectors where it is a vector. Yields one feature a group, the top group's first.
    """

    def __init__(self, config: PyramidConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        levels: list[nn.Module] = []
        shapes: list[Shape] = []
        source = context.data.shape
        for group in reversed(context.latent.groups):
            target = (config.width, *group.shape[1:])
            levels.append(connect(source, target, config.activation, (config.width,) * config.blocks))
            shapes.append(target)
            source = target
        self.levels = nn.ModuleList(levels)
        self.feature_shapes = tuple(reversed(shapes))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features: list[Tensor] = []
        h = x.unsqueeze(0)
        for level in self.levels:
            h = level(h)
            features.append(h[0])
        return tuple(reversed(features))
