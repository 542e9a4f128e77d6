"""Posterior made by a normalising flow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelab.distributions import DiagonalNormal, NormalFlow
from vaelab.nets import Head
from vaelab.nets.flows import Autoregressive, FlowStack, FlowStep, Planar, Radial, Shared
from vaelab.posteriors.base import Posterior, PosteriorConfig
from vaelab.registry import POSTERIORS
from vaelab.types import BuildContext, GroupSpec, Shape, State, numel


class FlowConfig(PosteriorConfig):
    """Arguments of the flow posterior."""

    kind: Literal["flow"] = "flow"

    flow: Literal["planar", "radial", "iaf", "nsf"] = "planar"
    """Kind of each step: planar or radial (Rezende & Mohamed 2015), inverse autoregressive (Kingma et al. 2016), neural
    spline (Durkan et al. 2019)."""

    steps: PositiveInt = 4
    """How many of them."""

    amortised: bool = True
    """Planar and radial: whether the encoder yields each step's parameters. Otherwise they are weights."""

    width: tuple[PositiveInt, ...] = Field(default=(64, 64), min_length=1)
    """Autoregressive flows: widths of the masked network."""

    context: PositiveInt = 16
    """Autoregressive flows: length of the vector that each step is given from the encoder."""

    bins: PositiveInt = Field(default=8, ge=2)
    """Neural spline: pieces of each spline."""

    @classmethod
    def example(cls) -> FlowConfig:
        return cls(steps=2)


@POSTERIORS.register(FlowConfig)
class FlowPosterior(Posterior[FlowConfig]):
    r"""A diagonal normal pushed through K invertible steps, $z = f_K \circ \dots \circ f_1(z_0)$, $z_0 \sim \mathcal{N}(\mu(x), \operatorname{diag}\sigma^2(x))$.

    $$\log q(z \mid x) = \log q_0(z_0) - \sum_k \log\lvert\det\frac{\partial f_k}{\partial z_{k-1}}\rvert$$

    Rezende & Mohamed (2015, equation 13). The order of components turns round from one autoregressive step to the next.
    There is no closed KL, so the rate is estimated at the sample. Another point is scored by inverting the steps:
    Newton's method for planar ones, D passes for autoregressive ones.

    *Cost*: K steps a draw, whose log-density comes with it; an autoregressive step is a masked network over the
    latents.

    Use it where the gap between the bound and log p(x) is large and sampling may cost more; gains on top of a good
    encoder and prior are often below one nat on MNIST.
    """  # noqa: E501  a summary is one paragraph

    def __init__(self, config: FlowConfig, context: BuildContext) -> None:
        # the heads, which the base makes, are as wide as the flows' parameters
        self.stacks: list[FlowStack] = []
        super().__init__(config, context)
        self.flows = nn.ModuleList(self.stacks)

    def head(self, feature_shape: Shape, spec: GroupSpec) -> nn.Module:
        size = numel(spec.shape)
        stack = FlowStack([self._step(size, i) for i in range(self.config.steps)])
        self.stacks.append(stack)
        target = (2 * size + stack.parameter_size,)
        return Head(feature_shape, spec.context_shape, target, self.config.hidden, self.config.activation)

    def _step(self, size: int, i: int) -> FlowStep:
        config = self.config
        if config.flow in ("planar", "radial"):
            step = Planar(size) if config.flow == "planar" else Radial(size)
            return step if config.amortised else Shared(step)
        bins = config.bins if config.flow == "nsf" else None
        return Autoregressive(size, config.context, config.width, bins, descending=i % 2 == 1, inverted=False)

    def group(self, i: int, features: tuple[Tensor, ...], state: State, p: object) -> NormalFlow:
        which, spec = self.weights[i], self.specs[i]
        size = numel(spec.shape)
        raw = self.heads[which](features[0 if self.single_feature else i], state.hidden)
        loc, log_scale, parameters = raw.tensor_split([size, 2 * size], -1)
        loc, log_scale = (part.unflatten(-1, spec.shape) for part in (loc, log_scale))
        base = DiagonalNormal.from_log_scale(loc, log_scale, len(spec.shape))
        q = NormalFlow(base, self.flows[which], parameters)
        return q if q.batch_shape == state.batch_shape else q.expand(state.batch_shape)
