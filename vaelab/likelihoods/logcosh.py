"""Log-cosh likelihood."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat
from torch import Tensor

from vaelab.distributions import LogCosh
from vaelab.likelihoods.base import Likelihood
from vaelab.registry import LIKELIHOODS, ComponentConfig


class LogCoshConfig(ComponentConfig):
    """Arguments of the log-cosh likelihood."""

    kind: Literal["logcosh"] = "logcosh"

    sharpness: PositiveFloat = 10.0
    """a: errors well below 1/a cost their square, errors well above it their absolute value."""


@LIKELIHOODS.register(LogCoshConfig)
class LogCoshLikelihood(Likelihood[LogCoshConfig]):
    r"""$\log p(x \mid z) = -\sum_d \frac1a\log\cosh a(x_d - \mu_d(z)) + \text{const}$, the log-cosh VAE (Chen et al. 2019).

    The constant makes it a density in nats; it does not depend on z, so the training is that of the paper.

    *Cost*: one parameter a number.

    Use it for errors that count squared when small and absolutely when large; its sharpness a has to be chosen as the
    variance of a normal has.
    """

    def forward(self, parameters: Tensor) -> LogCosh:
        return LogCosh(parameters, self.config.sharpness, self.event_ndim)
