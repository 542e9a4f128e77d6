"""Beta likelihood."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from vaelab.distributions import Beta
from vaelab.likelihoods.base import Likelihood, require_unit_interval
from vaelab.registry import LIKELIHOODS, ComponentConfig
from vaelab.types import BuildContext

# keeps both parameters away from 0, where the density is all at the ends and its gradient explodes
_LEAST = 1e-3


class BetaConfig(ComponentConfig):
    """Arguments of the beta likelihood."""

    kind: Literal["beta"] = "beta"

    levels: int = Field(256, ge=2)
    """Grey levels of the data, which say how far 0 and 1 are moved inwards; see the distribution."""


@LIKELIHOODS.register(BetaConfig)
class BetaLikelihood(Likelihood[BetaConfig]):
    r"""Independent beta densities of grey levels, $\alpha$ and $\beta$ a pixel, both a softplus of the decoder's output.

    The data are moved into (0, 1) by half a level (Smithson & Verkuilen 2006), and the density accounts for
    it, so that its nats are those of the data as they are.

    *Cost*: two parameters a number, and logarithms of gamma functions.

    Use it for grey levels with much mass near 0 and 1; its density is unbounded there, so that negative values in nats
    are no sign of good pictures.
    """

    def __init__(self, config: BetaConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        require_unit_interval(config.kind, context)
        self.parameter_shape = self.widened(2)

    def forward(self, parameters: Tensor) -> Beta:
        alpha, beta = self.parts(F.softplus(parameters) + _LEAST, 2)
        return Beta(alpha, beta, self.config.levels, self.event_ndim)
