"""Prior of independent categorical variables."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import nn

from vaelab.distributions import OneHot
from vaelab.priors.base import Prior
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import BuildContext, GroupSpec, LatentSpec, State


class CategoricalConfig(ComponentConfig):
    """Arguments of the categorical prior."""

    kind: Literal["categorical"] = "categorical"

    variables: PositiveInt = 20
    """N, number of variables."""

    classes: PositiveInt = Field(10, ge=2)
    """C, values that each of them takes."""

    learned: bool = False
    """Whether the probabilities are learned; else they are all 1/C."""

    @classmethod
    def example(cls) -> CategoricalConfig:
        return cls(variables=2, classes=3)


@PRIORS.register(CategoricalConfig)
class CategoricalPrior(Prior[CategoricalConfig]):
    r"""$p(z) = \prod_n \mathrm{Cat}(z_n; \pi_n)$, uniform unless it is learned.

    Latents are one-hot vectors, `[K, B, N, C]` (Jang et al. 2017). The uniform prior's nats are at most $N\log C$.

    *Cost*: next to none.

    Use it with the posterior `categorical`; make it learned where classes are not equally frequent, at the risk that
    unused classes die out.
    """

    def __init__(self, config: CategoricalConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        shape = (config.variables, config.classes)
        self.latent = LatentSpec((GroupSpec(shape, support="one_hot"),))
        self.readout_shape = shape
        self.logits: torch.Tensor
        if config.learned:
            self.logits = nn.Parameter(torch.zeros(shape))
        else:
            self.register_buffer("logits", torch.zeros(shape), persistent=False)

    def group(self, i: int, state: State) -> OneHot:
        return OneHot(self.logits)
