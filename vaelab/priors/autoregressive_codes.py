"""Autoregressive prior over discrete codes."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from pydantic import Field, PositiveInt

from vaelab.distributions import AutoregressiveCodes
from vaelab.nets.code_gru import CodeGRU
from vaelab.priors.base import Prior
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import BuildContext, GroupSpec, LatentSpec, State


class AutoregressiveCodesConfig(ComponentConfig):
    """Arguments of the autoregressive prior."""

    kind: Literal["autoregressive_codes"] = "autoregressive_codes"

    codes: PositiveInt = Field(512, ge=2)
    """Number of code vectors."""

    dim: PositiveInt = 64
    """Length of a code vector."""

    positions: tuple[PositiveInt, ...] = Field((7, 7), min_length=1, max_length=2)
    """Shape of the grid of codes: one number for a row of them, two for a map."""

    hidden: PositiveInt = 128
    """Width of the recurrent network."""

    layers: PositiveInt = 1
    """Its depth."""

    @classmethod
    def example(cls) -> AutoregressiveCodesConfig:
        return cls(codes=8, dim=4, positions=(2, 2), hidden=6)


@PRIORS.register(AutoregressiveCodesConfig)
class AutoregressiveCodesPrior(Prior[AutoregressiveCodesConfig]):
    r"""$p(z) = \prod_n p(k_n \mid k_{<n})$: a recurrent network over the indices, trained along with the model.

    It takes the place of the PixelCNN that van den Oord et al. (2017, section 3.3) fit to the codes of a trained VQ-VAE.
    Its cross-entropy is the model's KL term, and as indices carry no gradient, encoder and codes are trained as under a
    uniform prior: the result is a VQ-VAE that can sample from the first epoch on. Give the term `kl` a weight above 0.

    *Cost*: one pass over the N codes in training; a draw takes N steps one after another.

    Use it to sample from a VQ-VAE without a second training run; drawing takes one step a position, and a strong prior
    fitted afterwards to fixed codes may still be better.
    """

    def __init__(self, config: AutoregressiveCodesConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.context = context
        shape = (config.dim, *config.positions)
        self.latent = LatentSpec((GroupSpec(shape, support="codes", codes=config.codes),))
        self.readout_shape = shape
        self.network = CodeGRU(config.codes, config.positions, config.hidden, config.layers)

    def group(self, i: int, state: State) -> AutoregressiveCodes:
        posterior: Any = self.context.model.posterior  # one over codes, or the build would have refused it
        lookup, find = partial(posterior.lookup, i), partial(posterior.find, i)
        return AutoregressiveCodes((), self.latent.groups[i].shape, self.network, lookup, find)
