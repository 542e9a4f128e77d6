"""Normal likelihood."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from vaelab.distributions import DiagonalNormal, Distribution
from vaelab.distributions.normal import OptimalScaleNormal
from vaelab.likelihoods.base import Likelihood
from vaelab.registry import LIKELIHOODS, ComponentConfig
from vaelab.types import BuildContext


class NormalConfig(ComponentConfig):
    """Arguments of the normal likelihood."""

    kind: Literal["normal"] = "normal"

    sigma: Literal["fixed", "learned", "per_pixel", "optimal"] = "learned"
    """The standard deviation: `scale` as given; one number, learned; one a pixel, from the decoder; or the one that
    maximises the likelihood of the batch."""

    scale: PositiveFloat = 1.0
    """The fixed standard deviation, or where the others start."""


@LIKELIHOODS.register(NormalConfig)
class NormalLikelihood(Likelihood[NormalConfig]):
    r"""$p(x \mid z) = \mathcal{N}(x; \mu(z), \sigma^2 I)$, with sigma fixed, learned, per pixel or optimal.

    `optimal` is the sigma-VAE of Rybkin et al. (2021, section 3.2): while training, sigma^2 is the mean squared error
    of the batch. To stay a density it must not look at the datum that is scored, so evaluation uses the running mean.

    *Cost*: one parameter a number, two with a sigma per pixel.

    Use it for real data, with `optimal` or a learned sigma as the first choice, since a fixed sigma is a weight of the
    KL in disguise; it gives blurred means where the latent leaves detail open.
    """

    def __init__(self, config: NormalConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        log_scale = math.log(config.scale)
        if config.sigma == "per_pixel":
            self.parameter_shape = self.widened(2)
        self.log_scale: Tensor
        if config.sigma == "learned":
            self.log_scale = nn.Parameter(torch.tensor(log_scale))
        else:
            self.register_buffer("log_scale", torch.tensor(log_scale))

    def forward(self, parameters: Tensor) -> Distribution:
        event_ndim = len(self.data.shape)
        if self.config.sigma == "per_pixel":
            loc, log_scale = self.parts(parameters, 2)
            return DiagonalNormal.from_log_scale(loc, log_scale + self.log_scale, event_ndim)
        if self.config.sigma == "optimal" and self.training:
            return OptimalScaleNormal(parameters, event_ndim, self.log_scale, self._remember)
        scale = self.log_scale.exp().expand_as(parameters)
        return DiagonalNormal(parameters, scale, self.log_scale.expand_as(parameters), event_ndim)

    def _remember(self, log_scale: Tensor) -> None:
        self.log_scale.lerp_(log_scale.to(self.log_scale.dtype), 0.02)
