"""Top-down hierarchy of latent groups."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Discriminator, Field, PositiveInt, Tag
from torch import Tensor, nn

from vaelab.distributions import DiagonalNormal, Distribution
from vaelab.errors import BuildError
from vaelab.nets import Activation, Head, connect
from vaelab.nets.residual import ResidualLayers, shrink_last, soft_clamp
from vaelab.priors.base import LatentShape, Prior, as_shape
from vaelab.registry import PRIORS, ComponentConfig, default
from vaelab.types import Batch, BuildContext, GroupSpec, LatentSpec, Shape, State


class Repeated(BaseModel):
    """Several groups of one shape."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    shape: LatentShape
    """Of each."""

    repeat: PositiveInt
    """How many."""


def _form(value: Any) -> str:
    return "repeated" if isinstance(value, dict | Repeated) else "shape"


#: A group, or several alike.
Groups = Annotated[Annotated[LatentShape, Tag("shape")] | Annotated[Repeated, Tag("repeated")], Discriminator(_form)]


class TopDownConfig(ComponentConfig):
    """Arguments of the hierarchy."""

    kind: Literal["top_down"] = "top_down"

    top: Annotated[ComponentConfig, PRIORS] = default("standard_normal")
    """Prior of the first group: any prior with one group. What it reads out starts the top-down features, so that the
    condition in the readout of `conditional` reaches every group and the decoder."""

    groups: tuple[Groups, ...] = Field((20,), min_length=1)
    """Shapes of the groups below it, in the order in which they are drawn: lengths of vectors, or [C, H, W] of maps. Several
    alike may be written `{"shape": [8, 7, 7], "repeat": 6}`."""

    width: PositiveInt = 100
    """Length of the top-down features, or their channels where the group is a map."""

    blocks: PositiveInt = 1
    """Hidden layers (residual blocks where the features are maps) between two groups."""

    activation: Activation = "relu"
    """Inside the top-down path."""

    path: Literal["plain", "residual"] = "plain"
    """How features go from one group to the next: through layers, or (for many groups) past layers that are added to
    them, start small and leave each prior near the standard normal."""

    @classmethod
    def example(cls) -> TopDownConfig:
        return cls.model_validate({"top": {"kind": "standard_normal", "dim": 3}, "groups": [4], "width": 8})


@PRIORS.register(TopDownConfig)
class TopDown(Prior[TopDownConfig]):
    r"""$p(z) = p(z_0)\prod_{i\ge1} p(z_i \mid z_{<i})$, each a diagonal normal given top-down features.

    The features start from $z_0$; each group is merged into them, and they go on to the resolution of the next one
    (Sønderby et al. 2016; Vahdat & Kautz 2020). The decoder receives the features after the last group. Any depth,
    vectors and maps mixed.

    With the residual path it is the decoder of Child (2021): $h \leftarrow h + f(h)$ at one
    resolution, the last weights of each f and of each merge times $1/\sqrt{N}$ for N groups, a learned constant that $z_0$ is
    added to, and prior heads that start near $\mathcal{N}(0, I)$. Log-scales are held in (-5, 5) as in NVAE.

    *Cost*: one pass from top to bottom, groups one after another; time is linear in their number.

    Use it for images whose detail one latent vector cannot hold; the top groups tend to be ignored, so train with
    warm-up or free bits and look at the rate of each group.
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
        shapes = [self.top.latent.groups[0].shape, *(shape for entry in config.groups for shape in _shapes(entry))]
        self.residual = config.path == "residual"
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
        sources = [self.top.readout_shape, *features[:-1]]
        small = 1 / math.sqrt(len(shapes))

        def transition(source: Shape, target: Shape) -> nn.Module:
            if not self.residual:
                return connect(source, target, config.activation, hidden)
            change = [] if source == target else [connect(source, target)]
            return nn.Sequential(*change, ResidualLayers(target, config.activation, config.blocks, small))

        self.transitions = nn.ModuleList(transition(s, t) for s, t in zip(sources, features, strict=True))
        self.heads = nn.ModuleList(
            Head(None, f, (2 * s[0], *s[1:]), act=config.activation) for s, f in zip(shapes[1:], features, strict=True)
        )
        self.merges = nn.ModuleList(connect(s, f) for s, f in zip(shapes[1:], features, strict=True))
        if self.residual:
            self.constant = nn.Parameter(torch.zeros(features[0]))
            for head, merge in zip(self.heads, self.merges, strict=True):
                shrink_last(head, 0.1)
                shrink_last(merge, small)

    def initial(
        self, batch_shape: tuple[int, int], condition: Tensor | None = None, data: Batch | None = None
    ) -> State:
        return self.top.initial(batch_shape, condition, data)

    def group(self, i: int, state: State) -> Distribution:
        if i == 0:
            return self.top.group(0, state)
        loc, log_scale = self.heads[i - 1](None, state.hidden).chunk(2, dim=2)
        if self.residual:
            log_scale = soft_clamp(log_scale)
        return DiagonalNormal.from_log_scale(loc, log_scale, len(self.latent.groups[i].shape))

    def advance(self, i: int, state: State, z: Tensor) -> State:
        if i == 0:
            hidden = self.top.readout(state.advanced(z))
        else:
            assert state.hidden is not None
            hidden = state.hidden + self.merges[i - 1](z)
        if i < len(self.transitions):
            hidden = self.transitions[i](hidden)
            if i == 0 and self.residual:
                hidden = hidden + self.constant
        return state.advanced(z, hidden)

    def readout(self, state: State) -> Tensor:
        assert state.hidden is not None
        return state.hidden


def _shapes(entry: LatentShape | Repeated) -> list[Shape]:
    if isinstance(entry, Repeated):
        return [as_shape(entry.shape)] * entry.repeat
    return [as_shape(entry)]
