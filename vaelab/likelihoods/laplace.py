"""Laplace likelihood."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from vaelab.distributions import Laplace
from vaelab.likelihoods.base import Likelihood
from vaelab.registry import LIKELIHOODS, ComponentConfig
from vaelab.types import BuildContext


class LaplaceConfig(ComponentConfig):
    """Arguments of the Laplace likelihood."""

    kind: Literal["laplace"] = "laplace"

    b: Literal["fixed", "learned", "per_pixel"] = "learned"
    """The scale: `scale` as given; one number, learned; or one a pixel, from the decoder."""

    scale: PositiveFloat = 1.0
    """The fixed scale, or where the others start."""


@LIKELIHOODS.register(LaplaceConfig)
class LaplaceLikelihood(Likelihood[LaplaceConfig]):
    r"""$\log p(x \mid z) = -\sum_d \frac{|x_d - \mu_d(z)|}{b} + \log 2b$: the absolute error, as a density in nats.

    With b fixed at 1 it is the L1 reconstruction loss plus a constant. The density is that of Laplace (1774).

    *Cost*: one parameter a number.

    Use it for real data with some outliers, or for an absolute error with a meaning in nats; the density has a kink at
    the mean, and samples with noise look rough.
    """

    def __init__(self, config: LaplaceConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        if config.b == "per_pixel":
            self.parameter_shape = self.widened(2)
        log_scale = torch.tensor(math.log(config.scale))
        self.log_scale: Tensor
        if config.b == "learned":
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    def forward(self, parameters: Tensor) -> Laplace:
        if self.config.b == "per_pixel":
            loc, log_scale = self.parts(parameters, 2)
            return Laplace(loc, log_scale + self.log_scale, event_ndim=self.event_ndim)
        return Laplace(parameters, self.log_scale.expand_as(parameters), event_ndim=self.event_ndim)
