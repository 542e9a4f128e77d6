"""Encoder that is trained on corrupted data."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from vaelab.encoders.base import Encoder
from vaelab.registry import ENCODERS, ComponentConfig, default
from vaelab.types import Batch, BuildContext, require_image


class CorruptedConfig(ComponentConfig):
    """Arguments of the corrupted encoder."""

    kind: Literal["corrupted"] = "corrupted"

    encoder: Annotated[ComponentConfig, ENCODERS] = default("mlp")
    """What sees the corrupted data."""

    noise: Literal["normal", "flip", "mask", "patches"] = "mask"
    """`normal` adds normal noise, `flip` turns numbers v into 1 - v, `mask` sets numbers to 0, `patches` sets whole squares
    of an image to 0."""

    share: float = Field(default=0.25, ge=0, le=1)
    """Probability with which a number or a patch is changed; every number gets normal noise."""

    scale: PositiveFloat = 0.3
    """Standard deviation of normal noise."""

    patch: PositiveInt = 4
    """Side of a patch."""

    @classmethod
    def example(cls) -> CorruptedConfig:
        return cls.model_validate({"encoder": {"kind": "mlp", "hidden": [16]}})


@ENCODERS.register(CorruptedConfig)
class CorruptedEncoder(Encoder[CorruptedConfig]):
    r"""Any encoder of $\tilde x \sim p(\tilde x \mid x)$ in training, of x itself in evaluation; the likelihood scores x.

    The denoising criterion (Im et al. 2017): with $\tilde q(z \mid x) = \mathbb E_{p(\tilde x \mid x)} q(z \mid \tilde x)$
    the objective is still a bound on $\log p(x)$. Noise is drawn anew at each pass; `patches` hides squares as masked
    autoencoders do (He et al. 2022).

    *Cost*: that of the encoder inside; noise is drawn in training alone.

    Use it for features that withstand noise or hidden patches; as a means to a better likelihood of clean data the gain
    is small, and too much noise widens the gap of the bound.
    """

    def __init__(self, config: CorruptedConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        if config.noise == "patches":
            require_image("encoder", "corrupted", context.data)
        self.encoder: Encoder[Any] = ENCODERS.build(config.encoder, context)
        self.feature_shapes = self.encoder.feature_shapes

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.features(Batch(x))

    def features(self, batch: Batch) -> tuple[Tensor, ...]:
        if self.training:
            batch = replace(batch, x=self.corrupt(batch.x))
        return self.encoder.features(batch)

    def corrupt(self, x: Tensor) -> Tensor:
        """A draw of the corrupted data, of the shape of x `[B, *event]`."""
        config = self.config
        if config.noise == "normal":
            return x + config.scale * torch.randn_like(x)
        if config.noise == "patches":
            height, width = x.shape[2:]
            rows, columns = -(-height // config.patch), -(-width // config.patch)
            hidden = (torch.rand(len(x), 1, rows, columns, device=x.device) < config.share).to(x.dtype)
            hidden = F.interpolate(hidden, scale_factor=config.patch)[..., :height, :width]
            return x * (1 - hidden)
        changed = torch.rand_like(x) < config.share
        return torch.where(changed, 1 - x if config.noise == "flip" else 0.0, x)
