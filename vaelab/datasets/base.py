"""Base of the data sets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Literal, Self, TypeVar

from pydantic import NonNegativeInt, PositiveInt

from vaelab.errors import BuildError
from vaelab.registry import ComponentConfig
from vaelab.types import DataSpec, DataSplits, Shape, Values

Binarisation = Literal["none", "threshold", "static", "dynamic"]


class DatasetConfig(ComponentConfig):
    """Arguments that every data set has."""

    binarisation: Binarisation = "none"
    """How grey levels in [0, 1] become bits: not at all, by x > 1/2, by one draw with a seed, or by a new
    draw each time."""

    binarisation_seed: NonNegativeInt = 0
    """Seed of the one draw of `static` binarisation."""

    validation: NonNegativeInt = 0
    """Number of training data held out for validation."""

    train_limit: PositiveInt | None = None
    """Keep only the first so many training data, after those for validation were held out."""

    test_limit: PositiveInt | None = None
    """Keep only the first so many test data."""

    condition: Literal["none", "label"] = "none"
    """What a conditional model is told of each datum: nothing, or its label as a one-hot vector."""

    @classmethod
    def example(cls) -> Self:
        """A config that keeps few data."""
        return cls.model_validate({"train_limit": 256, "test_limit": 128})


C = TypeVar("C", bound=DatasetConfig)


class Dataset(ABC, Generic[C]):
    """A data set: knows its specification at once, reads its data when asked.

    `spec` may look at a file's header and never reads or downloads the data themselves, so that a model can
    be built and refused first.
    """

    def __init__(self, config: C) -> None:
        self.config = config

    @property
    @abstractmethod
    def spec(self) -> DataSpec:
        """Shape and values of one datum."""

    @abstractmethod
    def load(self) -> DataSplits:
        """Read the data.

        Raises:
            DataError: they are not there, cannot be had or are damaged.
        """

    def _describe(self, shape: Shape, values: Values = "unit", num_classes: int | None = None) -> DataSpec:
        """The specification after binarisation.

        Raises:
            BuildError: real numbers were to be binarised, or there are no labels for a condition.
        """
        condition: Shape | None = None
        if self.config.condition == "label":
            if num_classes is None:
                raise BuildError(
                    f"dataset '{self.config.kind}': there are no labels that could be the condition. "
                    'Set "condition": "none".'
                )
            condition = (num_classes,)
        if self.config.binarisation == "none":
            return DataSpec(shape, values, num_classes, condition)
        if values == "real":
            raise BuildError(
                f"dataset '{self.config.kind}': binarisation '{self.config.binarisation}' needs grey levels "
                'in [0, 1], and these data are real numbers. Set "binarisation": "none", or scale the data '
                'and declare "values": "unit".'
            )
        return DataSpec(shape, "binary", num_classes, condition)
