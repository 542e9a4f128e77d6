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

    shared: bool = False
    """One level, and one feature, for all consecutive groups of one resolution (Child 2021), in place of one a group."""

    @classmethod
    def example(cls) -> PyramidConfig:
        return cls(width=8)


@ENCODERS.register(PyramidConfig)
class Pyramid(Encoder[PyramidConfig]):
    """The deterministic bottom-up path of a ladder (Sønderby et al. 2016).

    $h_l = f_l(h_{l+1})$ from the data, level by level; group i reads the feature $h_i$.

    From the data down to the top group, level by level, at the resolution that the prior gives each latent group: maps
    where the group is a map, vectors where it is a vector. Yields one feature a group, the top group's first; with
    `shared`, groups of one resolution receive the same.

    *Cost*: linear in the pixels; one pass yields the features of all groups.

    Use it with the prior `top_down`, for hierarchies of two latent groups or of dozens; for one group it is a `conv`
    with more keys.
    """

    def __init__(self, config: PyramidConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        levels: list[nn.Module] = []
        shapes: list[Shape] = []
        #: how many groups, from the bottom, each level's feature serves
        self.served: list[int] = []
        source = context.data.shape
        for group in reversed(context.latent.groups):
            target = (config.width, *group.shape[1:])
            if config.shared and shapes and shapes[-1] == target:
                shapes.append(target)
                self.served[-1] += 1
                continue
            self.served.append(1)
            levels.append(connect(source, target, config.activation, (config.width,) * config.blocks))
            shapes.append(target)
            source = target
        self.levels = nn.ModuleList(levels)
        self.feature_shapes = tuple(reversed(shapes))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features: list[Tensor] = []
        h = x.unsqueeze(0)
        for level, groups in zip(self.levels, self.served, strict=True):
            h = level(h)
            features += [h[0]] * groups
        return tuple(reversed(features))
