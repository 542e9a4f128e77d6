"""The likelihood `cauchy`."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from vaelab.likelihoods import Likelihood
from vaelab.registry import LIKELIHOODS, ComponentConfig
from vaelab.types import BuildContext
from vaelab_cauchy.distribution import Cauchy


class CauchyConfig(ComponentConfig):
    """Arguments of the Cauchy likelihood."""

    kind: Literal["cauchy"] = "cauchy"

    scale: PositiveFloat = 0.3
    """Where the learned scale starts."""


@LIKELIHOODS.register(CauchyConfig)
class CauchyLikelihood(Likelihood[CauchyConfig]):
    r"""$\log p(x \mid z) = -\sum_d \log(1 + (x_d - m_d(z))^2 / b^2) + \log \pi b$ with one learned $b$.

    Use it for data with gross outliers, which it hardly counts; where there are none, a normal gives sharper means.
    """

    def __init__(self, config: CauchyConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.log_scale = nn.Parameter(torch.tensor(math.log(config.scale)))

    def forward(self, parameters: Tensor) -> Cauchy:
        return Cauchy(parameters, self.log_scale.expand_as(parameters), self.event_ndim)
