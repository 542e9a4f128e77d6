"""Categorical likelihood of grey levels."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from vaelab.distributions import CategoricalLevels
from vaelab.likelihoods.base import Likelihood, require_unit_interval
from vaelab.registry import LIKELIHOODS, ComponentConfig
from vaelab.types import BuildContext


class CategoricalConfig(ComponentConfig):
    """Arguments of the categorical likelihood."""

    kind: Literal["categorical"] = "categorical"

    levels: int = Field(256, ge=2)
    """L: the data in [0, 1] are multiples of 1 / (L - 1); what lies between two is rounded."""

    @classmethod
    def example(cls) -> CategoricalConfig:
        return cls(levels=4)


@LIKELIHOODS.register(CategoricalConfig)
class CategoricalLikelihood(Likelihood[CategoricalConfig]):
    r"""A softmax over the L grey levels of each pixel and channel, $\log p(x \mid z) = \sum_d \log\pi_{d,x_d}(z)$.

    The pixels of PixelRNN (van den Oord et al. 2016). Probabilities and not densities: its nats divided
    by $D\log 2$ are the bits per dimension that are reported for images. The decoder yields L numbers a pixel.

    *Cost*: L parameters a number: with 256 levels the last layer is 256 times as wide.

    Use it for a few grey levels whose distribution has several modes; it forgets that level 7 lies between 6 and 8, and
    takes L outputs a pixel.
    """

    def __init__(self, config: CategoricalConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        require_unit_interval(config.kind, context)
        self.parameter_shape = self.widened(config.levels)

    def forward(self, parameters: Tensor) -> CategoricalLevels:
        logits = torch.stack(self.parts(parameters, self.config.levels), -1)
        return CategoricalLevels(logits, self.event_ndim)
