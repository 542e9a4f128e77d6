"""Base of the decoders."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from jaxtyping import Float
from torch import Tensor, nn

from vaelab.distributions import Distribution
from vaelab.likelihoods import Likelihood
from vaelab.registry import ComponentConfig
from vaelab.types import BuildContext

C = TypeVar("C", bound=ComponentConfig)


class Decoder(nn.Module, Generic[C]):
    """Maps what the prior reads out, `[K, B, *context.readout_shape]`, to `[K, B, *context.parameter_shape]`.

    Attributes:
        stepwise: True where the parameters of step t depend on the code of step t alone, so that a prior may make that code
            depend on the data before t.
    """

    stepwise = False

    def __init__(self, config: C, context: BuildContext) -> None:
        super().__init__()
        self.config = config

    def forward(self, code: Float[Tensor, "K B *code"]) -> Float[Tensor, "K B *parameters"]:
        """The likelihood's parameters."""
        raise NotImplementedError

    def distribution(self, code: Tensor, likelihood: Likelihood[Any]) -> Distribution:
        """p(x | z). An autoregressive decoder overrides this with a distribution that runs its network on x."""
        return likelihood(self(code))
