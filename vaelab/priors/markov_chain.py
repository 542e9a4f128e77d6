"""Markov chain over time steps."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelab.distributions import DiagonalNormal
from vaelab.nets import mlp
from vaelab.priors.base import Prior
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import Batch, BuildContext, GroupSpec, LatentSpec, State


class MarkovChainConfig(ComponentConfig):
    """Arguments of the chain."""

    kind: Literal["markov_chain"] = "markov_chain"

    steps: PositiveInt = Field(28, ge=2)
    """T, number of time steps."""

    dim: PositiveInt = 16
    """Length of the latent vector of each step."""

    hidden: PositiveInt = 64
    """Width of the transition's networks."""

    @classmethod
    def example(cls) -> MarkovChainConfig:
        return cls(steps=4, dim=3, hidden=8)


@PRIORS.register(MarkovChainConfig)
class MarkovChain(Prior[MarkovChainConfig]):
    r"""$p(z_{1:T}) = \prod_t \mathcal{N}(z_t; \mu(z_{t-1}), \operatorname{diag}\sigma^2(z_{t-1}))$.

    The gated transition of the deep Markov model (Krishnan et al. 2017, section 5): the mean is a gated sum of a linear
    map, the identity at the start, and an MLP. Time steps are latent groups that share one posterior head, which sees
    $z_{t-1}$. The decoder receives all steps, `[K, B, T, dim]`.

    *Cost*: T steps one after another, each a small network.

    Use it for sequences whose state carries over from step to step; long memory has to go through the latent, where a
    `vrnn` has a deterministic path for it.
    """

    def __init__(self, config: MarkovChainConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        group = GroupSpec((config.dim,), context_shape=(config.dim,))
        self.latent = LatentSpec((group,) * config.steps, shared=True)
        self.readout_shape = (config.steps, config.dim)
        self.start = nn.Parameter(torch.zeros(config.dim))
        self.gate = mlp((config.dim, config.hidden, config.dim), "relu", last=False)
        self.proposal = mlp((config.dim, config.hidden, config.dim), "relu", last=False)
        self.linear = nn.Linear(config.dim, config.dim)
        nn.init.eye_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.log_scale = nn.Linear(config.dim, config.dim)

    def initial(
        self, batch_shape: tuple[int, int], condition: Tensor | None = None, data: Batch | None = None
    ) -> State:
        return State(batch_shape, hidden=self.start.expand(*batch_shape, -1), condition=condition, data=data)

    def group(self, i: int, state: State) -> DiagonalNormal:
        previous = state.hidden
        assert previous is not None
        gate = self.gate(previous).sigmoid()
        proposal = self.proposal(previous)
        loc = (1 - gate) * self.linear(previous) + gate * proposal
        return DiagonalNormal.from_log_scale(loc, self.log_scale(proposal.relu()))

    def advance(self, i: int, state: State, z: Tensor) -> State:
        return state.advanced(z, hidden=z)

    def readout(self, state: State) -> Tensor:
        return torch.stack(state.zs, dim=2)
