"""Base of the encoders."""

from __future__ import annotations

from typing import Generic, TypeVar

from jaxtyping import Float
from torch import Tensor, nn

from vaelab.registry import ComponentConfig
from vaelab.types import Batch, BuildContext, Shape

C = TypeVar("C", bound=ComponentConfig)


class Encoder(nn.Module, Generic[C]):
    """Maps data to features, once a datum whatever the number of samples.

    A subclass sets `feature_shapes` in its constructor and writes `forward`. One feature serves every latent group;
    several must be as many as there are groups, in the order in which the groups are drawn.

    Attributes:
        feature_shapes: shape of each feature, without the batch.
    """

    feature_shapes: tuple[Shape, ...]

    def __init__(self, config: C, context: BuildContext) -> None:
        super().__init__()
        self.config = config

    def forward(self, x: Float[Tensor, "B *event"]) -> Tensor | tuple[Tensor, ...]:
        """One feature `[B, *shape]`, or a tuple of them."""
        raise NotImplementedError

    def features(self, batch: Batch) -> tuple[Tensor, ...]:
        """The features of a batch; override it where more than `x` matters."""
        features = self(batch.x)
        return features if isinstance(features, tuple) else (features,)
