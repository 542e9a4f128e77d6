"""What a conditional model is told of each datum."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from vaelab.errors import DataError
from vaelab.types import DataSpec


def condition_of(spec: DataSpec, y: Tensor | None) -> Tensor | None:
    """The labels `[B]` as one-hot vectors `[B, *spec.condition_shape]`, or None where the model is told nothing.

    Raises:
        DataError: the specification promises a condition, and there are no labels.
    """
    if spec.condition_shape is None:
        return None
    if y is None:
        raise DataError(
            '"condition": "label" needs labels, and this part of the data has none. Set "condition": "none".'
        )
    return F.one_hot(y, spec.condition_shape[0]).float()
