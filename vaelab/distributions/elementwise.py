"""Base of the distributions whose components are independent."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Self

from torch import Tensor

from vaelab.distributions.base import Distribution, TensorMap, event_sum


class Elementwise(Distribution):
    r"""Independent components, $\log p(x) = \sum_d \log p_d(x_d)$.

    A subclass names its parameters in `fields` and writes `log_prob_terms`.

    Args:
        parameters: one tensor a field, each `[*batch, *event]`.
        event_ndim: number of event axes.
    """

    fields: ClassVar[tuple[str, ...]]

    def __init__(self, *parameters: Tensor, event_ndim: int = 1) -> None:
        split = parameters[0].ndim - event_ndim
        super().__init__(parameters[0].shape[:split], parameters[0].shape[split:])
        self.event_ndim = event_ndim
        for name, parameter in zip(self.fields, parameters, strict=True):
            setattr(self, name, parameter)

    def map(self, function: TensorMap) -> Self:
        mapped = (function(getattr(self, name), self.event_ndim) for name in self.fields)
        return type(self)(*mapped, event_ndim=self.event_ndim)

    @abstractmethod
    def log_prob_terms(self, value: Tensor) -> Tensor:
        """$\\log p_d(x_d)$ of each component, `[*batch, *event]`."""

    def log_prob(self, value: Tensor) -> Tensor:
        return event_sum(self.log_prob_terms(value), self.event_ndim)
