"""Samples from the model's own prior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from vaelab.inference import Generation
from vaelab.model import VAE
from vaelab.registry import SAMPLERS, ComponentConfig
from vaelab.samplers.base import Sampler
from vaelab.types import DataSplits


class PriorSamplerConfig(ComponentConfig):
    """Arguments of the sampler: none."""

    kind: Literal["prior"] = "prior"


@SAMPLERS.register(PriorSamplerConfig)
class PriorSampler(Sampler[PriorSamplerConfig]):
    """Ancestral sampling, $z_i \\sim p(z_i \\mid z_{<i})$ group by group, then $p(x \\mid z)$. Nothing is fitted.

    As the generative model is defined (Kingma & Welling 2014). The temperature is that of each group's prior.

    *Cost*: one pass of prior and decoder.

    Use it as the first choice, as it is what the bound is about; for a deterministic posterior or uniform codes it
    draws noise.
    """

    def fit(self, model: VAE, data: Callable[[], DataSplits]) -> None:
        self.model = model

    def sample(self, number: int, temperature: float = 1.0, condition: Tensor | None = None) -> Generation:
        return self.model.generate(number, temperature, condition=condition)
