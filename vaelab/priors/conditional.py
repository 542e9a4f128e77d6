"""Prior given the condition."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn import functional as F

from vaelab.distributions import DiagonalNormal, Distribution, Mixture
from vaelab.errors import BuildError
from vaelab.nets import Activation, connect
from vaelab.priors.base import LatentShape, Prior, as_shape
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.shared_batch import whole
from vaelab.types import Batch, BuildContext, GroupSpec, LatentSpec, State, numel

#: Real conditions that are remembered for samples without one.
_RECENT = 1024


class ConditionalConfig(ComponentConfig):
    """Arguments of the conditional prior."""

    kind: Literal["conditional"] = "conditional"

    dim: LatentShape = 20
    """Length of the latent vector, or [C, H, W] of a latent map."""

    hidden: tuple[PositiveInt, ...] = (100,)
    """Widths of the network from the condition to mean and scale; none makes it linear, a mean and a scale a label."""

    activation: Activation = "relu"
    """Between its layers."""

    readout: Literal["latent", "latent_and_condition"] = "latent"
    """What the decoder receives: z alone, or z flattened with the condition behind it."""

    @classmethod
    def example(cls) -> ConditionalConfig:
        return cls(dim=4, hidden=(6,))


@PRIORS.register(ConditionalConfig)
class ConditionalPrior(Prior[ConditionalConfig]):
    r"""$p(z \mid y) = \mathcal{N}(\mu(y), \operatorname{diag}\sigma^2(y))$, y being the data's condition.

    The prior network of the conditional VAE (Sohn et al. 2015, section 4.1); the encoder `conditional` and the readout
    `latent_and_condition` let encoder and decoder see y as well. It needs data with a condition: `"condition": "label"`, or
    real numbers by `"conditions"` of the data set `arrays`. Where no
    condition is given, labels count as equally likely: z has the mixture $\frac1C\sum_y p(z \mid y)$, or with the
    condition in the readout a label is drawn for each datum, which then both z and the decoder follow. Real conditions are drawn
    from the last 1,024 of the training.

    *Cost*: one small network of the condition a datum.

    Use it for samples of a chosen class, or where the condition says much about the datum; without conditions at
    sampling time it is a mixture over all of them.
    """

    def __init__(self, config: ConditionalConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        known = context.data.condition_shape
        if known is None or len(known) != 1:
            raise BuildError(
                f"prior 'conditional' needs the condition of each datum, and the data have none (their condition has the "
                f'shape {known}). Set "condition": "label" in the data set (or "conditions" of the data set '
                "'arrays'), or use another prior."
            )
        shape = as_shape(config.dim)
        self.classes = known[0]
        self.latent = LatentSpec((GroupSpec(shape),))
        self.with_condition = config.readout == "latent_and_condition"
        self.readout_shape = (numel(shape) + self.classes,) if self.with_condition else shape
        self.real = context.data.condition_values == "real"
        self.recent: Tensor
        self.filled: Tensor
        if self.real:
            self.register_buffer("recent", torch.zeros(_RECENT, self.classes))
            self.register_buffer("filled", torch.zeros((), dtype=torch.long))
        self.net = connect(known, (2 * shape[0], *shape[1:]), config.activation, config.hidden)

    def initial(
        self, batch_shape: tuple[int, int], condition: Tensor | None = None, data: Batch | None = None
    ) -> State:
        state = super().initial(batch_shape, condition, data)
        if self.real:
            return self._with_real(state, batch_shape[1])
        if condition is None and self.with_condition:
            labels = torch.randint(self.classes, (batch_shape[1],), device=self._like.device)
            state = replace(state, condition=self._all_labels()[labels])
        return state

    def _with_real(self, state: State, number: int) -> State:
        """Remember conditions of the training; draw one of those remembered for each datum that has none."""
        if state.condition is None:
            rows = torch.randint(max(1, min(int(self.filled), _RECENT)), (number,), device=self.recent.device)
            return replace(state, condition=self.recent[rows])
        if self.training and torch.is_grad_enabled():
            with torch.no_grad():
                conditions = whole(state.condition)
                rows = (self.filled + torch.arange(len(conditions), device=self.recent.device)) % _RECENT
                self.recent[rows] = conditions.to(self.recent.dtype)
                self.filled += len(conditions)
        return state

    def group(self, i: int, state: State) -> Distribution:
        if state.condition is None:
            components = self._normal(self._all_labels())
            return Mixture(components.map(lambda tensor, n: tensor[0]), self._like.new_zeros(self.classes))
        return self._normal(state.condition.to(self._like.dtype))

    def readout(self, state: State) -> Tensor:
        z = state.zs[-1]
        if not self.with_condition:
            return z
        assert state.condition is not None
        condition = state.condition.to(z.dtype).expand(*z.shape[:2], -1)
        return torch.cat([z.flatten(2), condition], 2)

    def _normal(self, condition: Tensor) -> DiagonalNormal:
        """p(z | y) of conditions `[B, C]`, with the batch shape `(1, B)`."""
        loc, log_scale = self.net(condition.unsqueeze(0)).chunk(2, dim=2)
        return DiagonalNormal.from_log_scale(loc, log_scale, len(self.latent.groups[0].shape))

    def _all_labels(self) -> Tensor:
        labels = torch.arange(self.classes, device=self._like.device)
        return F.one_hot(labels, self.classes).to(self._like.dtype)

    @property
    def _like(self) -> Tensor:
        return next(self.parameters())
