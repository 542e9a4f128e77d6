"""Uniform prior over discrete codes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, cast

from pydantic import Field, PositiveInt

from vaelab.distributions import UniformCodes
from vaelab.priors.base import Prior
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import BuildContext, GroupSpec, LatentSpec, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class UniformCodesConfig(ComponentConfig):
    """Arguments of the uniform prior over codes."""

    kind: Literal["uniform_codes"] = "uniform_codes"

    codes: PositiveInt = Field(512, ge=2)
    """Number of code vectors."""

    dim: PositiveInt = 64
    """Length of a code vector."""

    positions: tuple[PositiveInt, ...] = Field((7, 7), min_length=1, max_length=2)
    """Shape of the grid of codes: one number for a row of them, two for a map."""

    @classmethod
    def example(cls) -> UniformCodesConfig:
        return cls(codes=8, dim=4, positions=(2, 2))


@PRIORS.register(UniformCodesConfig)
class UniformCodesPrior(Prior[UniformCodesConfig]):
    r"""Every position takes one of C codes with probability 1/C, $-\log p(z) = N \log C$.

    The prior under which a VQ-VAE is trained (van den Oord et al. 2017). The code vectors are the posterior's; this
    prior holds them outside its parameters.

    *Cost*: none; the rate is a constant.

    Use it to train VQ-VAEs, for which it makes the rate a constant; its own samples are noise, so draw with the sampler
    `codes` or train `autoregressive_codes`.
    """

    def __init__(self, config: UniformCodesConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.context = context
        shape = (config.dim, *config.positions)
        self.latent = LatentSpec((GroupSpec(shape, support="codes", codes=config.codes),))
        self.readout_shape = shape

    def group(self, i: int, state: State) -> UniformCodes:
        posterior = self.context.model.posterior
        lookup = cast("Callable[[int, Tensor], Tensor]", posterior.lookup)
        like = next(posterior.parameters())
        return UniformCodes((), self.latent.groups[i].shape, self.config.codes, partial(lookup, i), like)
