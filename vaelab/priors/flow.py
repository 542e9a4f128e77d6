"""Prior made by a normalising flow."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveInt

from vaelab.distributions import NormalFlow, StandardNormal
from vaelab.nets.flows import Autoregressive, FlowStack
from vaelab.priors.base import FlatPrior, LatentShape
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import BuildContext, numel


class FlowPriorConfig(ComponentConfig):
    """Arguments of the flow prior."""

    kind: Literal["flow"] = "flow"

    dim: LatentShape = 20
    """Length of the latent vector, or [C, H, W] of a latent map."""

    flow: Literal["maf", "nsf"] = "nsf"
    """Masked autoregressive (Papamakarios et al. 2017) or neural spline (Durkan et al. 2019)."""

    steps: PositiveInt = 3
    """How many invertible steps."""

    width: tuple[PositiveInt, ...] = Field(default=(64, 64), min_length=1)
    """Widths of each step's masked network."""

    bins: PositiveInt = Field(default=8, ge=2)
    """Neural spline: pieces of each spline."""

    @classmethod
    def example(cls) -> FlowPriorConfig:
        return cls(dim=4, steps=2, width=(16,))


@PRIORS.register(FlowPriorConfig)
class FlowPrior(FlatPrior[FlowPriorConfig]):
    r"""A standard normal pushed through invertible steps, $p(z) = \mathcal{N}(f^{-1}(z); 0, I)\,\lvert\det\partial f^{-1}/\partial z\rvert$.

    An autoregressive flow as the prior of a VAE (Chen et al. 2017, section 3.2). Scoring a latent takes one pass of each
    step's masked network, drawing one takes as many as the latent has components. The order of components turns round from
    one step to the next.

    *Cost*: one pass of the flow a log-density; draws of an autoregressive one take d passes.

    Use it where samples from a standard normal are poor since the aggregate posterior does not match it; an
    autoregressive flow draws one component at a time, and it makes overfitting easier.
    """  # noqa: E501  a summary is one paragraph

    def __init__(self, config: FlowPriorConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        bins = config.bins if config.flow == "nsf" else None
        size = numel(self.shape)
        self.flow = FlowStack(
            [
                Autoregressive(size, 0, config.width, bins, descending=i % 2 == 1, inverted=True)
                for i in range(config.steps)
            ]
        )
        self.zeros: torch.Tensor
        self.register_buffer("zeros", torch.zeros(self.shape), persistent=False)

    def distribution(self) -> NormalFlow:
        return NormalFlow(StandardNormal(self.zeros, len(self.shape)), self.flow, self.zeros.new_zeros(0))
