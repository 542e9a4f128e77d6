"""What the posteriors that follow Hamiltonian dynamics share."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from vaelab.distributions import DiagonalNormal, Distribution, HamiltonianNormal
from vaelab.errors import BuildError
from vaelab.inference import log_joint
from vaelab.posteriors.base import Posterior, PosteriorConfig
from vaelab.types import BuildContext, State


class DynamicsConfig(PosteriorConfig):
    """Arguments of the dynamics."""

    steps: PositiveInt = 3
    """L, leapfrog steps; each costs a pass of the decoder and its gradient."""

    step_size: PositiveFloat = 0.05
    """Size of the steps at the start, one a latent component; they are learned."""

    max_step_size: PositiveFloat = 0.25
    """What they cannot exceed."""

    temper: float = Field(default=0.5, gt=0, lt=1)
    """The square root of beta_0 at the start; learned. Near 1 the momentum is not tempered."""


C = TypeVar("C", bound=DynamicsConfig)


class DynamicsPosterior(Posterior[C]):
    """A diagonal normal whose draws are moved by the gradient of the model's own joint density. For one latent group.

    A subclass writes `moved`.
    """

    multiplicity = 2

    def __init__(self, config: C, context: BuildContext) -> None:
        super().__init__(config, context)
        if len(self.specs) != 1:
            raise BuildError(
                f"{context.names['posterior']} needs the joint density of all latents at once, and "
                f"{context.names['prior']} has {len(self.specs)} groups. Use a prior with one."
            )
        if config.step_size >= config.max_step_size:
            raise BuildError(
                f"{context.names['posterior']}: step_size {config.step_size} is not below max_step_size "
                f"{config.max_step_size}. Lower the one or raise the other."
            )
        self.context = context
        share = config.step_size / config.max_step_size
        self.raw_step_size = nn.Parameter(torch.full(self.specs[0].shape, math.log(share / (1 - share))))
        self.raw_temper = nn.Parameter(torch.tensor(math.log(config.temper / (1 - config.temper))))

    def moved(self, dynamics: HamiltonianNormal, feature: Tensor) -> Distribution:
        """The posterior from the plain dynamics, whose metric is the identity, and the features `[B, *feature_shape]`."""
        raise NotImplementedError

    def group(self, i: int, features: tuple[Tensor, ...], state: State, p: Distribution | None) -> Distribution:
        if p is None:
            raise BuildError(
                f"{self.context.names['posterior']} depends on the prior, and {self.context.names['prior']} is made of "
                "posteriors. Replace one of the two."
            )
        spec = self.specs[0]
        loc, log_variance = self.heads[0](features[0], state.hidden).chunk(2, dim=2)
        base = DiagonalNormal.from_log_scale(loc, 0.5 * log_variance, len(spec.shape)).expand(state.batch_shape)
        model = self.context.model
        step_size = self.config.max_step_size * self.raw_step_size.sigmoid()
        root_temper = self.raw_temper.sigmoid().expand(spec.shape)
        plain = HamiltonianNormal(base, lambda z: log_joint(model, state, z), step_size, root_temper, self.config.steps)
        return self.moved(plain, features[0])
