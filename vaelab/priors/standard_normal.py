"""Standard normal prior."""

from __future__ import annotations

from typing import Literal

import torch

from vaelab.distributions import StandardNormal
from vaelab.priors.base import FlatPrior, LatentShape
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import BuildContext


class StandardNormalConfig(ComponentConfig):
    """Arguments of the standard normal prior."""

    kind: Literal["standard_normal"] = "standard_normal"

    dim: LatentShape = 20
    """Length of the latent vector, or [C, H, W] of a latent map."""

    @classmethod
    def example(cls) -> StandardNormalConfig:
        return cls(dim=4)


@PRIORS.register(StandardNormalConfig)
class StandardNormalPrior(FlatPrior[StandardNormalConfig]):
    r"""$p(z) = \mathcal{N}(0, I)$ (Kingma & Welling 2014).

    *Cost*: none.

    Use it as the first choice, and where latents should be smooth to move in; it over-regularises when the data fall
    into clusters, and holes in the aggregate posterior give poor samples.
    """

    def __init__(self, config: StandardNormalConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.zeros: torch.Tensor
        self.register_buffer("zeros", torch.zeros(self.shape), persistent=False)
        self._made = StandardNormal(self.zeros, len(self.shape))

    def distribution(self) -> StandardNormal:
        if self._made.loc is not self.zeros:  # moved to another device or type
            self._made = StandardNormal(self.zeros, len(self.shape))
        return self._made
