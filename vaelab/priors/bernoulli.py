"""Prior of independent bits."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from vaelab.distributions import Bits
from vaelab.priors.base import LatentShape, Prior, as_shape
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import BuildContext, GroupSpec, LatentSpec, State


class BernoulliConfig(ComponentConfig):
    """Arguments of the Bernoulli prior."""

    kind: Literal["bernoulli"] = "bernoulli"

    dim: LatentShape = 200
    """Number of bits, or [C, H, W] of a map of them."""

    learned: bool = False
    """Whether the probabilities are learned; else they are all 1/2."""

    @classmethod
    def example(cls) -> BernoulliConfig:
        return cls(dim=4)


@PRIORS.register(BernoulliConfig)
class BernoulliPrior(Prior[BernoulliConfig]):
    r"""$p(z) = \prod_d \mathrm{Bernoulli}(z_d; \pi_d)$, fair coins unless it is learned (Maddison et al. 2017).

    *Cost*: next to none.

    Use it with the posterior `bernoulli` for binary codes; its bits are independent, so that samples are only as good
    as the aggregate posterior is factorised.
    """

    def __init__(self, config: BernoulliConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        shape = as_shape(config.dim)
        self.latent = LatentSpec((GroupSpec(shape, support="bits"),))
        self.readout_shape = shape
        self.logits: torch.Tensor
        if config.learned:
            self.logits = nn.Parameter(torch.zeros(shape))
        else:
            self.register_buffer("logits", torch.zeros(shape), persistent=False)

    def group(self, i: int, state: State) -> Bits:
        return Bits(self.logits, len(self.latent.groups[0].shape))
