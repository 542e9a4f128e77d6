"""A static latent and a chain of dynamic ones."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from vaelab.distributions import DiagonalNormal
from vaelab.nets.sequences import sequence_shape
from vaelab.priors.base import Prior
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import BuildContext, GroupSpec, LatentSpec, State


class StaticAndDynamicConfig(ComponentConfig):
    """Arguments of the prior of the disentangled sequential VAE."""

    kind: Literal["static_and_dynamic"] = "static_and_dynamic"

    static: PositiveInt = 32
    """Length of f, the latent of the whole sequence."""

    dynamic: PositiveInt = 8
    """Length of the latent of each step."""

    hidden: PositiveInt = 64
    """Width of the recurrent state of the chain."""

    posterior: Literal["full", "factorised"] = "full"
    """Whether the posterior of a step is told of f: q(z_t | z_<t, f, x), the paper's full q, or q(z_t | z_<t, x). The paper's
    factorised q leaves out z_<t as well."""

    @classmethod
    def example(cls) -> StaticAndDynamicConfig:
        return cls(static=4, dynamic=3, hidden=8)


@PRIORS.register(StaticAndDynamicConfig)
class StaticAndDynamic(Prior[StaticAndDynamicConfig]):
    r"""$p(f)\prod_t p(z_t \mid z_{<t})$ with $p(f) = \mathcal{N}(0, I)$: what stays in a sequence, and what moves.

    The prior of the disentangled sequential autoencoder (Li & Mandt 2018, equation 1), whose data are $p(x_t \mid z_t, f)$.
    The chain is a gated recurrent unit (an LSTM in the paper) that gives each $z_t$ a diagonal normal. Group 0 is f and has a
    posterior head of its own; the other groups are the time steps, as many as the data have, and share one. The decoder
    receives $[z_t, f]$ of each step, `[K, B, T, dynamic + static]`.

    *Cost*: T steps of a recurrent cell one after another.

    Use it for sequences of which something stays, such as the speaker or the digit; nothing but the sizes of the two
    latents keeps them apart, so keep the dynamic one small.
    """

    def __init__(self, config: StaticAndDynamicConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        steps = sequence_shape(context.data.shape)[0]
        told = config.hidden + (config.static if config.posterior == "full" else 0)
        step = GroupSpec((config.dynamic,), context_shape=(told,))
        self.latent = LatentSpec((GroupSpec((config.static,)), *(step,) * steps), processes=(0, *(1,) * steps))
        self.readout_shape = (steps, config.dynamic + config.static)
        self.loc: Tensor
        self.register_buffer("loc", torch.zeros(config.static), persistent=False)
        self.start = nn.Parameter(torch.zeros(config.hidden))
        self.head = nn.Linear(config.hidden, 2 * config.dynamic)
        self.cell = nn.GRUCell(config.dynamic, config.hidden)

    def group(self, i: int, state: State) -> DiagonalNormal:
        if i == 0:
            return DiagonalNormal.from_log_scale(self.loc, self.loc)
        assert state.hidden is not None
        memory = state.hidden[..., : self.config.hidden]  # p(z_t | z_<t) does not see f
        return DiagonalNormal.from_log_scale(*self.head(memory).chunk(2, dim=-1))

    def advance(self, i: int, state: State, z: Tensor) -> State:
        if i == 0:
            memory = self.start.expand(*state.batch_shape, -1)
        else:
            assert state.hidden is not None
            before = state.hidden[..., : self.config.hidden]
            memory = self.cell(z.flatten(0, 1), before.flatten(0, 1)).unflatten(0, state.batch_shape)
        static = z if i == 0 else state.zs[0]
        return state.advanced(z, torch.cat([memory, static], -1) if self.config.posterior == "full" else memory)

    def readout(self, state: State) -> Tensor:
        static, *dynamic = state.zs
        chain = torch.stack(dynamic, dim=2)
        return torch.cat([chain, static.unsqueeze(2).expand(*chain.shape[:3], -1)], -1)
