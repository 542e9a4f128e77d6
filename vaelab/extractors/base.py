"""Base of the extractors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor, nn

from vaelab.errors import DataError
from vaelab.registry import ComponentConfig
from vaelab.types import DataSpec

C = TypeVar("C", bound=ComponentConfig)


@dataclass(frozen=True, slots=True)
class Extracted:
    """What an extractor sees in N pictures.

    Attributes:
        features: `[N, F]`.
        logits: `[N, L]`, unnormalised log-probabilities of L labels, or None where it is no classifier.
    """

    features: Tensor
    logits: Tensor | None = None


class Extractor(nn.Module, ABC, Generic[C]):
    """Maps pictures to features. Its kind is part of the name of each value that rests on it, such as `fid_digits_n10000`.

    It is fixed: nothing of it is trained with a model, or values of two models could not be compared. `checksum` tells
    two versions of one extractor apart and is recorded with each value.

    Attributes:
        checksum: SHA-256 of its weights, or None where it has none.
        labels: number of labels that it classifies, or None where it is no classifier.
    """

    checksum: str | None = None
    labels: int | None = None

    def __init__(self, config: C) -> None:
        super().__init__()
        self.config = config

    @property
    def identity(self) -> str:
        """Kind and beginning of the checksum, as `digits:1a2b3c4d`; recorded with each value."""
        return self.config.kind + (f":{self.checksum[:8]}" if self.checksum else "")

    def check(self, data: DataSpec) -> None:
        """Refuse data that the extractor is not for.

        Raises:
            DataError: naming the extractor and what to use in its place.
        """
        if len(data.shape) != 3:
            raise DataError(
                f"extractor '{self.config.kind}' looks at images (C, H, W), and the data have shape {data.shape}. Leave out "
                "the metrics and figures that use it."
            )

    @abstractmethod
    def forward(self, pictures: Tensor) -> Extracted:
        """Features of pictures `[N, C, H, W]` in [0, 1]; a model's mean may lie a little outside."""


def require_unit_pictures(kind: str, data: DataSpec) -> None:
    """Refuse pictures that are not in [0, 1].

    Raises:
        DataError: the numbers of the data are any real ones.
    """
    if data.values == "real":
        raise DataError(
            f"extractor '{kind}' looks at pictures in [0, 1], and the numbers of these data are any real ones. Use the extractor "
            "'pixels'."
        )
