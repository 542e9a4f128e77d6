"""Base of the likelihoods."""

from __future__ import annotations

from typing import Generic, TypeVar

from torch import Tensor, nn

from vaelab.distributions import Distribution
from vaelab.errors import BuildError
from vaelab.registry import ComponentConfig
from vaelab.types import BuildContext, Shape

C = TypeVar("C", bound=ComponentConfig)


class Likelihood(nn.Module, Generic[C]):
    """p(x | z) from the decoder's output.

    Attributes:
        parameter_shape: what the decoder must yield a datum. Unless a subclass says otherwise, one parameter a pixel.
        local: True where a pixel's distribution depends on the parameters at that pixel alone, so that a decoder may
            make those depend on the pixels before it. False for scores of the whole picture.
    """

    local = True

    def __init__(self, config: C, context: BuildContext) -> None:
        super().__init__()
        self.config = config
        self.data = context.data
        self.parameter_shape: Shape = context.data.shape

    def forward(self, parameters: Tensor) -> Distribution:
        """p(x | z) of batch shape `(K, B)` from `[K, B, *parameter_shape]`; `mean` is a picture of it."""
        raise NotImplementedError

    @property
    def event_ndim(self) -> int:
        """Number of axes of a datum."""
        return len(self.data.shape)

    @property
    def _axis(self) -> int:
        # the channels of an image; the features of a step, so that the steps of a sequence stay apart
        return 1 if self.event_ndim == 2 else 0

    def widened(self, number: int) -> Shape:
        """The shape of `number` parameters a pixel, which `parts` takes apart."""
        shape = list(self.data.shape)
        shape[self._axis] *= number
        return tuple(shape)

    def parts(self, parameters: Tensor, number: int) -> tuple[Tensor, ...]:
        """`number` parameters a pixel, each `[K, B, *shape]`."""
        return parameters.chunk(number, dim=2 + self._axis)


def require_unit_interval(kind: str, context: BuildContext) -> None:
    """Refuse a likelihood of numbers in [0, 1] where the data are real.

    Raises:
        BuildError: the data set declares real numbers.
    """
    if context.data.values == "real":
        raise BuildError(
            f"likelihood '{kind}' needs data in [0, 1], and the data set declares real numbers. Use the likelihood "
            "'normal', 'laplace' or 'student_t'."
        )
