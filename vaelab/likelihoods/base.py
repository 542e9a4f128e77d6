"""Base of the likelihoods."""

from __future__ import annotations

from typing import Generic, TypeVar

from torch import Tensor, nn

from vaelab.distributions import Distribution
from vaelab.registry import ComponentConfig
from vaelab.types import BuildContext, Shape

C = TypeVar("C", bound=ComponentConfig)


class Likelihood(nn.Module, Generic[C]):
    """p(x | z) from the decoder's output.

    Attributes:
        parameter_shape: what the decoder must yield a datum. Unless a subclass says otherwise, one parameter a pixel.
    """

    def __init__(self, config: C, context: BuildContext) -> None:
        super().__init__()
        self.config = config
        self.data = context.data
        self.parameter_shape: Shape = context.data.shape

    def forward(self, parameters: Tensor) -> Distribution:
        """p(x | z) of batch shape `(K, B)` from `[K, B, *parameter_shape]`; `mean` is a picture of it."""
        raise NotImplementedError
