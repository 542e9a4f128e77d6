"""Base of the schedules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Self, TypeVar, cast

from pydantic import AfterValidator, PositiveFloat, PositiveInt, model_validator

from vaelab.registry import SCHEDULES, ComponentConfig
from vaelab.types import StepContext


class SpanConfig(ComponentConfig):
    """A schedule that takes a while, in steps or in epochs; the whole run where neither is given."""

    steps: PositiveInt | None = None
    """Optimiser steps it takes."""

    epochs: PositiveFloat | None = None
    """Epochs it takes, in place of `steps`."""

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give 'steps' or 'epochs', not both")
        return self

    def span(self, context: StepContext) -> float:
        """Its length in steps."""
        if self.steps is not None:
            return float(self.steps)
        if self.epochs is not None:
            return max(1.0, self.epochs * context.steps_per_epoch)
        return float(max(1, context.total_steps))


C = TypeVar("C", bound=ComponentConfig)


class Schedule(ABC, Generic[C]):
    """A number for each step. It has no state: the value follows from the step, so a resumed run needs none."""

    #: True where every step has the same value, so that a caller may ask once.
    constant = False

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def __call__(self, context: StepContext) -> float:
        """The value at the step."""

    def least(self) -> float | None:
        """A number that no value is below; None where that is not known, so that nothing can be refused for it."""
        return None


def at_least(low: float, *, above: bool = False) -> AfterValidator:
    """Refuses a schedule with a value below a number, or, with `above`, one that is not above it."""

    def check(config: ComponentConfig | float) -> ComponentConfig | float:
        least = schedule(config).least()
        if least is not None and (least <= low if above else least < low):
            raise ValueError(
                f"should be {'greater than' if above else 'at least'} {low:g} at every step, and is {least:g} at one"
            )
        return config

    return AfterValidator(check)


def schedule(config: ComponentConfig | float) -> Schedule[ComponentConfig]:
    """The schedule that a validated `Scalar` field describes."""
    assert isinstance(config, ComponentConfig)
    return cast("Schedule[ComponentConfig]", SCHEDULES.build(config))
