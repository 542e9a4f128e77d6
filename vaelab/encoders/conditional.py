"""Encoder that sees the condition."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from vaelab.encoders.base import Encoder
from vaelab.errors import BuildError
from vaelab.registry import ENCODERS, ComponentConfig, default
from vaelab.types import Batch, BuildContext, Shape


class ConditionalConfig(ComponentConfig):
    """Arguments of the conditional encoder."""

    kind: Literal["conditional"] = "conditional"

    encoder: Annotated[ComponentConfig, ENCODERS] = default("mlp")
    """What sees x."""

    @classmethod
    def example(cls) -> ConditionalConfig:
        return cls.model_validate({"encoder": {"kind": "mlp", "hidden": [16]}})


@ENCODERS.register(ConditionalConfig)
class ConditionalEncoder(Encoder[ConditionalConfig]):
    """Any encoder of x with the condition y behind its features, for q(z | x, y) of a conditional VAE.

    $f(x, y) = [f(x), y]$.

    Sohn et al. (2015). A vector or a sequence gets y at its end, a map at each position. Hidden layers of the
    posterior make x and y interact. It needs data with a condition; where a pass gives none, all labels
    count as equally likely and y is 1/C throughout, and a condition of real numbers is 0.

    *Cost*: that of the encoder inside; the condition is appended to its features.

    Use it where the label or another condition is known both in training and when new data are drawn; where labels are
    few, the objective `semi_supervised` needs less.
    """

    def __init__(self, config: ConditionalConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        known = context.data.condition_shape
        if known is None or len(known) != 1:
            raise BuildError(
                f"encoder 'conditional' needs the condition of each datum, and the data have none (their condition has the "
                f'shape {known}). Set "condition": "label" in the data set, or use the encoder '
                f"'{config.encoder.kind}' alone."
            )
        self.classes = known[0]
        self.unknown = 0.0 if context.data.condition_values == "real" else 1 / self.classes
        self.encoder: Encoder[Any] = ENCODERS.build(config.encoder, context)
        self.feature_shapes = tuple(self._extended(shape) for shape in self.encoder.feature_shapes)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.features(Batch(x))

    def features(self, batch: Batch) -> tuple[Tensor, ...]:
        condition = batch.condition
        if condition is None:
            condition = batch.x.new_full((len(batch), self.classes), self.unknown)
        return tuple(self._joined(feature, condition) for feature in self.encoder.features(batch))

    def _extended(self, shape: Shape) -> Shape:
        if len(shape) == 3:
            return (shape[0] + self.classes, *shape[1:])
        return (*shape[:-1], shape[-1] + self.classes)

    def _joined(self, feature: Tensor, condition: Tensor) -> Tensor:
        condition = condition.to(feature.dtype)
        if feature.ndim == 4:
            spread = condition[:, :, None, None].expand(-1, -1, *feature.shape[2:])
            return torch.cat([feature, spread], 1)
        if feature.ndim == 3:
            return torch.cat([feature, condition.unsqueeze(1).expand(-1, feature.shape[1], -1)], 2)
        return torch.cat([feature, condition], 1)
