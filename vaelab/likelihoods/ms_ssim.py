"""Structural similarity in the place of a likelihood."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat
from torch import Tensor

from vaelab.distributions import PictureScore
from vaelab.errors import BuildError
from vaelab.likelihoods.base import Likelihood, require_unit_interval
from vaelab.nets.ssim import ms_ssim
from vaelab.registry import LIKELIHOODS, ComponentConfig
from vaelab.types import BuildContext, numel


class MSSSIMConfig(ComponentConfig):
    """Arguments of the structural similarity score."""

    kind: Literal["ms_ssim"] = "ms_ssim"

    weight: PositiveFloat = 0.1
    """What a pixel's worth of dissimilarity, 1 - MS-SSIM, counts for, beside the nats of the rate."""

    scales: int | None = Field(None, ge=1, le=5)
    """Scales compared; by default as many of the five as the window fits into."""

    window: int = Field(11, ge=3)
    """Size of the normal window, odd; a smaller one where the picture is smaller."""


@LIKELIHOODS.register(MSSSIMConfig)
class MSSSIMLikelihood(Likelihood[MSSSIMConfig]):
    r"""A score and no density: $-w D\,(1 - \mathrm{MS\text{-}SSIM}(x, \hat x(z)))$ with D numbers a datum.

    The multi-scale structural similarity of Wang et al. (2003) as a reconstruction term (Snell et al. 2017). It is not the
    logarithm of a density in x, so that a negative ELBO or an importance-weighted NLL made of it compares with
    nothing but itself; reconstruction errors and samples do. The pictures are a sigmoid of the decoder's output.

    *Cost*: some blurs of both pictures at each scale, for each of the K draws.

    Use it when structure counts for more than exact grey levels, judged by eye; it yields no likelihood, and small
    pictures allow few scales.
    """

    local = False

    def __init__(self, config: MSSSIMConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        require_unit_interval(config.kind, context)
        if len(context.data.shape) != 3:
            raise BuildError(
                f"likelihood 'ms_ssim' compares images (C, H, W), and the data have shape {context.data.shape}. Use the "
                "likelihood 'normal'."
            )
        if config.window % 2 == 0:
            raise BuildError(f"likelihood 'ms_ssim' needs an odd window, not {config.window}, for the data's pixels.")
        shorter = min(context.data.shape[1:])
        if config.scales is not None and shorter >> (config.scales - 1) < min(config.window, shorter):
            raise BuildError(
                f"likelihood 'ms_ssim' cannot fit its window of {config.window} pixels into {config.scales} scales of the "
                f"data's {context.data.shape}. Use fewer scales or a smaller window."
            )

    def _score(self, x: Tensor, picture: Tensor) -> Tensor:
        similarity = ms_ssim(x, picture, self.config.window, self.config.scales)
        return -self.config.weight * numel(self.data.shape) * (1 - similarity)

    def forward(self, parameters: Tensor) -> PictureScore:
        return PictureScore(parameters.sigmoid(), self._score)
