"""Bernoulli and continuous Bernoulli likelihoods."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vaelab.distributions import Bernoulli, ContinuousBernoulli
from vaelab.errors import BuildError
from vaelab.likelihoods.base import Likelihood
from vaelab.registry import LIKELIHOODS, ComponentConfig
from vaelab.types import BuildContext


class BernoulliConfig(ComponentConfig):
    """Arguments of the Bernoulli likelihood."""

    kind: Literal["bernoulli"] = "bernoulli"

    grey: bool = False
    """Allow grey levels in [0, 1]. The term is then a cross-entropy, and no density: its values cannot be compared with
    those on binarised data."""


@LIKELIHOODS.register(BernoulliConfig)
class BernoulliLikelihood(Likelihood[BernoulliConfig]):
    r"""Independent bits, $\log p(x \mid z) = \sum_d x_d \log \pi_d + (1 - x_d)\log(1 - \pi_d)$ (Kingma & Welling 2014, appendix C.1).

    *Cost*: one parameter a number of the data.

    Use it for data that are 0 or 1; on grey levels it is a cross-entropy and no density, so that its values compare
    with nothing and `continuous_bernoulli` should take its place.
    """

    def __init__(self, config: BernoulliConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        if context.data.values == "real":
            raise BuildError(
                "likelihood 'bernoulli' needs data in [0, 1], and the data set declares real numbers. Use "
                "the likelihood 'normal'."
            )
        if context.data.values == "unit" and not config.grey:
            raise BuildError(
                'likelihood \'bernoulli\' needs bits, and the data are grey levels (data "binarisation": "none"). Set '
                'the data\'s binarisation to "dynamic", "static" or "threshold"; or the likelihood\'s "grey" to true, '
                "which makes the term a cross-entropy; or use 'continuous_bernoulli'."
            )

    def forward(self, parameters: Tensor) -> Bernoulli:
        return Bernoulli(parameters, len(self.data.shape))


class ContinuousBernoulliConfig(ComponentConfig):
    """Arguments of the continuous Bernoulli likelihood."""

    kind: Literal["continuous_bernoulli"] = "continuous_bernoulli"


@LIKELIHOODS.register(ContinuousBernoulliConfig)
class ContinuousBernoulliLikelihood(Likelihood[ContinuousBernoulliConfig]):
    r"""A density on [0, 1] proportional to $\pi^x (1-\pi)^{1-x}$ (Loaiza-Ganem & Cunningham 2019).

    *Cost*: one parameter a number.

    Use it for grey levels in [0, 1] where `bernoulli` was meant; densities of data near 0 and 1 are high, and a mode
    inside (0, 1) with its own width is beyond it.
    """

    def __init__(self, config: ContinuousBernoulliConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        if context.data.values == "real":
            raise BuildError(
                "likelihood 'continuous_bernoulli' needs data in [0, 1], and the data set declares real numbers. Use "
                "the likelihood 'normal'."
            )

    def forward(self, parameters: Tensor) -> ContinuousBernoulli:
        return ContinuousBernoulli(parameters, len(self.data.shape))
