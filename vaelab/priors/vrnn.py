"""Variational recurrent neural network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from vaelab.distributions import DiagonalNormal
from vaelab.errors import BuildError
from vaelab.nets import fold, mlp
from vaelab.nets.sequences import as_sequence, from_sequence, sequence_shape
from vaelab.priors.base import Prior
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import Batch, BuildContext, GroupSpec, LatentSpec, State


class VRNNConfig(ComponentConfig):
    """Arguments of the VRNN's prior."""

    kind: Literal["vrnn"] = "vrnn"

    dim: PositiveInt = 16
    """Length of the latent vector of each step."""

    hidden: PositiveInt = 128
    """Length of the recurrent state h."""

    features: PositiveInt = 64
    """Length of the features of x_t and of z_t that enter the recurrence, and width of the prior's hidden layer."""

    @classmethod
    def example(cls) -> VRNNConfig:
        return cls(dim=3, hidden=8, features=6)


@dataclass(frozen=True, slots=True)
class VRNNState(State):
    """The state of a pass, whose `hidden` is h_{t-1}.

    Attributes:
        codes: what the steps so far are emitted from, [z_t, h_{t-1}], each `[K, B, dim + hidden]`.
        emitted: the data of the steps so far where the prior draws them, each `[K, B, D]`.
    """

    codes: tuple[Tensor, ...] = ()
    emitted: tuple[Tensor, ...] = ()


@PRIORS.register(VRNNConfig)
class VRNN(Prior[VRNNConfig]):
    r"""$p(z_t \mid h_{t-1})$ a diagonal normal, $h_t = f(h_{t-1}, x_t, z_t)$: the prior of a step has seen the data before it.

    The variational recurrent neural network of Chung et al. (2015, equations 5 to 8),

    $$p(x_{1:T}, z_{1:T}) = \prod_t p(z_t \mid x_{<t}, z_{<t})\, p(x_t \mid z_{\le t}, x_{<t})$$

    with a gated recurrent unit over features of $x_t$ and $z_t$ for f (an LSTM in the paper) and a learned start. Time
    steps, as many as the data have, are latent groups that share one posterior head, which sees $h_{t-1}$; with the encoder
    `per_step` it is the paper's $q(z_t \mid x_t, h_{t-1})$ (equation 9), with `gru` it sees the data to come as well. The
    decoder receives $[z_t, h_{t-1}]$ of each step, `[K, B, T, dim + hidden]`, and must be one that keeps the steps apart,
    such as `per_step`.

    Without data, in `generate`, each $x_t$ is drawn from the decoder and fed back. Where all latents are given, as in
    `decode`, the mean is fed back, and decoding is deterministic; the mean of a later step is then that of $p(x_t \mid z_{\le
    t}, x_{<t})$ at the means before it and no expectation over $x_{<t}$. Hidden pixels are fed as 0.

    *Cost*: T steps one after another in training too, each with three small networks; in sampling the decoder
    besides.

    Use it for sequences with both noise and long memory, such as speech and moving pictures; the recurrent state may
    carry everything and leave the latents unused, so watch the rate.
    """

    def __init__(self, config: VRNNConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.context = context
        self.shape = context.data.shape
        self.steps, size = sequence_shape(self.shape)
        group = GroupSpec((config.dim,), context_shape=(config.hidden,))
        self.latent = LatentSpec((group,) * self.steps, shared=True)
        self.readout_shape = (self.steps, config.dim + config.hidden)
        self.start = nn.Parameter(torch.zeros(config.hidden))
        self.head = mlp((config.hidden, config.features, 2 * config.dim), "relu", last=False)
        self.of_x = mlp((size, config.features), "relu", last=True)
        self.of_z = mlp((config.dim, config.features), "relu", last=True)
        self.cell = nn.GRUCell(2 * config.features, config.hidden)

    def initial(
        self, batch_shape: tuple[int, int], condition: Tensor | None = None, data: Batch | None = None
    ) -> VRNNState:
        self._require_steps()
        hidden = self.start.expand(*batch_shape, -1)
        return VRNNState(batch_shape, hidden=hidden, condition=condition, data=data)

    def group(self, i: int, state: State) -> DiagonalNormal:
        return DiagonalNormal.from_log_scale(*self.head(state.hidden).chunk(2, dim=-1))

    def advance(self, i: int, state: State, z: Tensor) -> State:
        assert isinstance(state, VRNNState)
        previous = state.hidden
        assert previous is not None
        state = replace(state, codes=(*state.codes, torch.cat([z, previous], -1)))
        if state.data is None:
            x = self._emit(i, state)
            state = replace(state, emitted=(*state.emitted, x))
            if i == self.steps - 1 and state.batch_shape[0] == 1:
                drawn = from_sequence(torch.stack(state.emitted, 2), self.shape)
                state = replace(state, data=Batch(drawn[0], condition=state.condition))
        else:
            x = self._observed(i, state.data).expand(*state.batch_shape, -1)
        features = torch.cat([self.of_x(x), self.of_z(z)], -1)
        hidden = self.cell(features.flatten(0, 1), previous.flatten(0, 1)).unflatten(0, state.batch_shape)
        return state.advanced(z, hidden)

    def readout(self, state: State) -> Tensor:
        assert isinstance(state, VRNNState)
        return torch.stack(state.codes, dim=2)

    @staticmethod
    def _observed(i: int, batch: Batch) -> Tensor:
        """Step i of the data `[B, D]`, 0 where it was hidden."""
        x = as_sequence(batch.x)[:, i]
        return x if batch.observed is None else x.masked_fill(~as_sequence(batch.observed)[:, i], 0.0)

    def _emit(self, i: int, state: VRNNState) -> Tensor:
        """A draw (or the mean) of step i `[K, B, D]`.

        The decoder runs on a whole sequence whose later codes are 0, so that likelihoods need not know of single steps.
        """
        model = self.context.model
        code = F.pad(torch.stack(state.codes, dim=2), (0, 0, 0, self.steps - 1 - i))
        likelihood = model.decoder.distribution(code, model.likelihood)
        x = likelihood.mean if state.expected else likelihood.sample()
        return fold(as_sequence, x)[:, :, i]

    def _require_steps(self) -> None:
        """Refuse a decoder or a likelihood in which $x_t$ would see codes that hold the data from t on.

        When the model runs and not in the constructor, because the decoder is built after the prior.
        """
        model, names = self.context.model, self.context.names
        if not model.decoder.stepwise:
            raise BuildError(
                f"{names['prior']} feeds each step of the data back, and {names['decoder']} does not keep the steps apart, so "
                "that a step would be told of those to come. Use the decoder 'per_step'."
            )
        if not model.likelihood.local:
            raise BuildError(
                f"{names['prior']} feeds each step of the data back, and {names['likelihood']} scores the data as a whole. "
                "Use a likelihood of independent numbers such as 'bernoulli' or 'normal'."
            )
