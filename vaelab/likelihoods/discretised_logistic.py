"""Logistic likelihoods that are cut into the bins of grey levels."""

from __future__ import annotations

import math
from typing import Literal

from einops import rearrange
from pydantic import Field, PositiveInt
from torch import Tensor

from vaelab.distributions import DiscretisedLogistic, LogisticMixture
from vaelab.errors import BuildError
from vaelab.likelihoods.base import Likelihood, require_unit_interval
from vaelab.registry import LIKELIHOODS, ComponentConfig
from vaelab.types import BuildContext

#: The paper's smallest log-scale, -7 on [-1, 1], in the unit of [0, 1]: a bin of 256 is five times as wide there.
_LEAST_LOG_SCALE = -7 - math.log(2)


def _loc(raw: Tensor) -> Tensor:
    # a decoder yields numbers near 0 when it starts, and the data lie around 1/2
    return 0.5 + 0.5 * raw


def _log_scale(raw: Tensor) -> Tensor:
    return (raw - math.log(2)).clamp_min(_LEAST_LOG_SCALE)


class DiscretisedLogisticConfig(ComponentConfig):
    """Arguments of the discretised logistic likelihood."""

    kind: Literal["discretised_logistic"] = "discretised_logistic"

    levels: int = Field(256, ge=2)
    """L: the data in [0, 1] are multiples of 1 / (L - 1); what lies between two is rounded."""


@LIKELIHOODS.register(DiscretisedLogisticConfig)
class DiscretisedLogisticLikelihood(Likelihood[DiscretisedLogisticConfig]):
    r"""The probability that a logistic variable falls into a grey level's bin, mean and scale from the decoder.

    $P(x_d \mid z) = \sigma\bigl(\frac{x_d+\Delta/2-\mu_d}{s_d}\bigr) - \sigma\bigl(\frac{x_d-\Delta/2-\mu_d}{s_d}\bigr)$
    with $\Delta = \frac1{L-1}$ and open bins at both ends (Kingma et al. 2016; Salimans et al. 2017,
    equation 2). Probabilities in nats. The decoder's outputs are in the unit of data on [-1, 1], as in the paper.

    *Cost*: two parameters a number.

    Use it for 8-bit images when bits per dimension are to be reported; with several modes a pixel take
    `discretised_logistic_mixture`.
    """

    def __init__(self, config: DiscretisedLogisticConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        require_unit_interval(config.kind, context)
        self.parameter_shape = self.widened(2)

    def forward(self, parameters: Tensor) -> DiscretisedLogistic:
        loc, log_scale = self.parts(parameters, 2)
        return DiscretisedLogistic(_loc(loc), _log_scale(log_scale), self.config.levels, self.event_ndim)


class DiscretisedLogisticMixtureConfig(ComponentConfig):
    """Arguments of the mixture of discretised logistic distributions."""

    kind: Literal["discretised_logistic_mixture"] = "discretised_logistic_mixture"

    components: PositiveInt = 10
    """M, logistic distributions a pixel."""

    levels: int = Field(256, ge=2)
    """L: the data in [0, 1] are multiples of 1 / (L - 1); what lies between two is rounded."""

    @classmethod
    def example(cls) -> DiscretisedLogisticMixtureConfig:
        return cls.model_validate({"components": 2})


@LIKELIHOODS.register(DiscretisedLogisticMixtureConfig)
class DiscretisedLogisticMixture(Likelihood[DiscretisedLogisticMixtureConfig]):
    r"""The likelihood of PixelCNN++ and of the very deep VAE: a mixture of M discretised logistic distributions a pixel.

    The channels of a pixel share the choice of the component, and the mean of each channel is linear in the channels
    before it, with coefficients in [-1, 1] from the decoder (Salimans et al. 2017, equations 1 to 3). The decoder yields
    $M(1 + 2C + C(C-1)/2)$ numbers a pixel: 3M for grey images and 10M for colour. Probabilities in nats.

    *Cost*: 10M parameters a pixel of three colours, and M log-densities.

    Use it for colour images at 8 bits and for bits per dimension, best behind an autoregressive or deep hierarchical
    decoder; it costs 10M outputs a pixel, and its mean is a poor picture when modes differ.
    """

    def __init__(self, config: DiscretisedLogisticMixtureConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        require_unit_interval(config.kind, context)
        if len(context.data.shape) != 3:
            raise BuildError(
                "likelihood 'discretised_logistic_mixture' works on the pixels of images (C, H, W), and the data have "
                f"shape {context.data.shape}. Use the likelihood 'discretised_logistic'."
            )
        channels = context.data.shape[0]
        self.slopes = channels * (channels - 1) // 2
        width = config.components * (1 + 2 * channels + self.slopes)
        self.parameter_shape = (width, *context.data.shape[1:])

    def forward(self, parameters: Tensor) -> LogisticMixture:
        channels = self.data.shape[0]
        each = rearrange(parameters, "k b (m p) h w -> k b m p h w", m=self.config.components)
        logits, loc, log_scale, slopes = each.split((1, channels, channels, self.slopes), dim=3)
        return LogisticMixture(logits.squeeze(3), _loc(loc), _log_scale(log_scale), slopes.tanh(), self.config.levels)
