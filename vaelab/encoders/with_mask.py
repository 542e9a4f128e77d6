"""Encoder that sees which numbers were observed."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from vaelab.encoders.base import Encoder
from vaelab.registry import ENCODERS, ComponentConfig, default
from vaelab.types import Batch, BuildContext


class WithMaskConfig(ComponentConfig):
    """Arguments of the encoder with a mask."""

    kind: Literal["with_mask"] = "with_mask"

    encoder: Annotated[ComponentConfig, ENCODERS] = default("mlp")
    """What sees x and the mask."""

    @classmethod
    def example(cls) -> WithMaskConfig:
        return cls.model_validate({"encoder": {"kind": "mlp", "hidden": [16]}})


@ENCODERS.register(WithMaskConfig)
class WithMaskEncoder(Encoder[WithMaskConfig]):
    r"""Any encoder of x joined along the first axis with its mask, 1 where a number was observed and 0 where it is hidden.

    $f([x \odot m,\; m])$ with the mask m.

    So a zero that was seen differs from one that stands for what was not (Ma et al. 2019, EDDI; Collier et al. 2020). The
    inner encoder sees images of twice the channels, or vectors of twice the length. Without a mask all is observed.

    *Cost*: that of the encoder inside, with twice the numbers at its input.

    Use it where pixels or columns are missing and a zero is a possible value; it cannot help where what is missing
    depends on the hidden values themselves.
    """

    def __init__(self, config: WithMaskConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        first, *rest = context.data.shape
        wide = replace(context, data=replace(context.data, shape=(2 * first, *rest)))
        self.encoder: Encoder[Any] = ENCODERS.build(config.encoder, wide)
        self.feature_shapes = self.encoder.feature_shapes

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.features(Batch(x))

    def features(self, batch: Batch) -> tuple[Tensor, ...]:
        x = batch.x
        observed = torch.ones_like(x) if batch.observed is None else batch.observed.to(x.dtype)
        return self.encoder.features(replace(batch, x=torch.cat([x, observed], 1)))
