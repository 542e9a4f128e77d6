"""Normal prior with learned moments."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from vaelab.distributions import DiagonalNormal
from vaelab.priors.base import FlatPrior, LatentShape
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import BuildContext


class NormalConfig(ComponentConfig):
    """Arguments of the learned normal prior."""

    kind: Literal["normal"] = "normal"

    dim: LatentShape = 20
    """Length of the latent vector, or [C, H, W] of a latent map."""

    @classmethod
    def example(cls) -> NormalConfig:
        return cls(dim=4)


@PRIORS.register(NormalConfig)
class NormalPrior(FlatPrior[NormalConfig]):
    r"""$p(z) = \mathcal{N}(\mu, \operatorname{diag}\sigma^2)$ with learned $\mu$ and $\log\sigma$, standard at the start.

    The simplest of the priors that are trained along (Tomczak & Welling 2018). For a flat model it can do
    no more than the standard normal, since a linear decoder layer undoes it; it matters where
    the latent's scale is fixed by something else, such as a penalty or a shared code.

    *Cost*: two parameters a latent number.

    Use it where something else fixes the scale of the latents; with a linear first layer of the decoder it gains
    nothing over `standard_normal`.
    """

    def __init__(self, config: NormalConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.loc = nn.Parameter(torch.zeros(self.shape))
        self.log_scale = nn.Parameter(torch.zeros(self.shape))

    def distribution(self) -> DiagonalNormal:
        return DiagonalNormal.from_log_scale(self.loc, self.log_scale, len(self.shape))
