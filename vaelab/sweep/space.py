"""One dimension of a sweep's space."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, StrictFloat, StrictInt, model_validator

from vaelab.section import Section

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class Dimension(Section):
    """The values that one path may take: a list of choices, or a range of numbers.

    A range is one of integers where all its numbers are written as integers.
    """

    choices: tuple[Any, ...] | None = Field(None, min_length=1)
    """Any JSON values; they have no order."""

    low: StrictInt | StrictFloat | None = None
    """Least value of a range."""

    high: StrictInt | StrictFloat | None = None
    """Greatest value of a range."""

    log: bool = False
    """Draw the logarithm uniformly, not the number."""

    step: StrictInt | StrictFloat | None = Field(None, gt=0)
    """Distance of the values: low, low + step, and so on up to high."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.choices is not None:
            if self.model_fields_set - {"choices"}:
                raise ValueError("'choices' stand alone: give them, or 'low' and 'high' with 'log' or 'step'")
            if len(set(self._written())) < len(self.choices):
                raise ValueError("a choice stands twice")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give 'choices', or 'low' and 'high'")
        if self.low >= self.high:
            raise ValueError(f"'low' must be less than 'high', and {self.low} is not less than {self.high}")
        if self.log and self.low <= 0:
            raise ValueError("a range with 'log' begins above 0")
        if self.log and self.step is not None:
            raise ValueError("a range has 'log' or 'step', not both; list the values as 'choices' instead")
        return self

    def _written(self) -> tuple[str, ...]:
        return tuple(json.dumps(choice) for choice in self.choices or ())

    @property
    def integer(self) -> bool:
        """Whether the range is one of integers."""
        return all(isinstance(number, int) for number in (self.low, self.high, self.step) if number is not None)

    @property
    def number(self) -> int | None:
        """How many values there are; None where they are not countable."""
        if self.choices is not None:
            return len(self.choices)
        if self.step is None and not self.integer:
            return None
        low, high, step = (Decimal(str(number)) for number in (self.low, self.high, self.step or 1))
        return int((high - low) // step) + 1

    def value(self, position: int) -> Any:
        """The value at a position, where they are countable."""
        if self.choices is not None:
            return self.choices[position]
        # in decimals, so that 0.1 + 2 * 0.1 is 0.3
        exact = Decimal(str(self.low)) + position * Decimal(str(self.step or 1))
        return int(exact) if self.integer else float(exact)

    @property
    def tried(self) -> tuple[Any, ...]:
        """The values that are checked before anything runs: every choice, or both ends."""
        return self.choices if self.choices is not None else (self.low, self.high)

    def distribution(self) -> BaseDistribution:
        """Optuna's form. A choice is its JSON text there, since Optuna's own choices may be no objects."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices is not None:
            return CategoricalDistribution(self._written())
        assert self.low is not None
        assert self.high is not None
        # Optuna wants the last value that the steps reach
        high = self.high if self.step is None else self.value((self.number or 1) - 1)
        if self.integer:
            return IntDistribution(int(self.low), int(high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(float(self.low), float(high), log=self.log, step=self.step)

    def to_optuna(self, value: Any) -> Any:
        """A value in Optuna's form."""
        return json.dumps(value) if self.choices is not None else value

    def from_optuna(self, value: Any) -> Any:
        """A value from Optuna's form."""
        if self.choices is not None:
            return json.loads(value)
        if self.step is None or self.low is None:
            return value
        return self.value(round((value - self.low) / self.step))
