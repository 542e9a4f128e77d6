"""Top-down hierarchy of latent groups."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelab.distributions import DiagonalNormal, Distribution
from vaelab.errors import BuildError
from vaelab.nets import Activation, Head, connect
from vaelab.priors.base import LatentShape, Prior, as_shape
from vaelab.registry import PRIORS, ComponentConfig, default
from vaelab.types import BuildContext, GroupSpec, LatentSpec, Shape, State


class TopDownConfig(ComponentConfig):
    """Arguments of the hierarchy."""

    kind: Literal["top_down"] = "top_down"

    top: Annotated[ComponentConfig, PRIORS] = default("standard_normal")
    """Prior of the first group: any prior with one group."""

    groups: tuple[LatentShape, ...] = Field((20,), min_length=1)
    """Shapes of the groups below it, in the order in which they are drawn: lengths of vectors, or [C, H, W] of maps."""

    width: PositiveInt = 100
    """Length of the top-down features, or their channels where the group is a map."""

    blocks: PositiveInt = 1
    """Hidden layers (residual blocks where the features are maps) between two groups."""

    activation: Activation = "relu"
    """Inside the top-down path."""

    @classmethod
    def example(cls) -> TopDownConfig:
        return cls.model_validate({"top": {"kind": "standard_normal", "dim": 3}, "groups": [4], "width": 8})


@PRIORS.register(TopDownConfig)
class TopDown(Prior[TopDownConfig]):
    r"""$p(z) = p(z_0)\prod_{i\ge1} p(z_i \mid z_{<i})$, each a diagonal normal given top-down features.

    The features start from $z_0$; each group is merged into them, and they go on to the resolution of the next one
    (Sønderby et al. 2016; Vahdat & Kautz 2020). The decoder receives the features after the last group. Any depth,
    vectors and maps mixed.
    """

    def __init__(self, config: TopDownConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.top: Prior[ComponentConfig] = PRIORS.build(config.top, context)
        if self.top.latent.depth != 1 or self.top.latent.groups[0].support != "real":
            raise BuildError(
                f"prior 'top_down' takes a prior with one group of real numbers on top, and '{config.top.kind}' has "
                f"{self.top.latent.depth} of {self.top.latent.groups[0].support}. Choose a flat prior such as "
                "'standard_normal', 'mixture' or 'vamp'."
            )
        shapes = [self.top.latent.groups[0].shape, *(as_shape(shape) for shape in config.groups)]
        hidden = (config.width,) * config.blocks
        features: list[Shape] = [(config.width, *shape[1:]) for shape in shapes[1:]]
        self.latent = LatentSpec(
            (
                GroupSpec(shapes[0]),
                *(GroupSpec(s, context_shape=f) for s, f in zip(shapes[1:], features, strict=True)),
            )
        )
        self.readout_shape = features[-1]
        # transitions[i] leads from the features that hold z_i to those that group i + 1 sees
        sources = [shapes[0], *features[:-1]]
        self.transitions = nn.ModuleList(
            connect(source, target, config.activation, hidden) for source, target in zip(sources, features, strict=True)
        )
        self.heads = nn.ModuleList(
            Head(None, f, (2 * s[0], *s[1:]), act=config.activation) for s, f in zip(shapes[1:], features, strict=True)
        )
        self.merges = nn.ModuleList(connect(s, f) for s, f in zip(shapes[1:], features, strict=True))

    def group(self, i: int, state: State) -> Distribution:
        if i == 0:
            return self.top.group(0, state)
        loc, log_scale = self.heads[i - 1](None, state.hidden).chunk(2, dim=2)
        return DiagonalNormal.from_log_scale(loc, log_scale, len(self.latent.groups[i].shape))

    def advance(self, i: int, state: State, z: Tensor) -> State:
        hidden = z
        if i > 0:
            assert state.hidden is not None
            hidden = state.hidden + self.merges[i - 1](z)
        if i < len(self.transitions):
            hidden = self.transitions[i](hidden)
        return state.advanced(z, hidden)

    def readout(self, state: State) -> Tensor:
        assert state.hidden is not None
        return state.hidden
