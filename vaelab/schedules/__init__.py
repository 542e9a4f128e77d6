"""Scalars that depend on the step: divergence weights, learning rates, capacities, temperatures.

`Scalar` is the type of a field that takes a number or any registered schedule; after validation it is a config.
"""

from typing import Annotated

from vaelab.registry import SCHEDULES, ComponentConfig
from vaelab.schedules.base import Schedule, at_least, schedule

Scalar = Annotated[ComponentConfig | float, SCHEDULES]

#: Likewise, and none of its values is negative.
NonNegativeScalar = Annotated[ComponentConfig | float, SCHEDULES, at_least(0)]

#: Likewise, and all of its values are positive.
PositiveScalar = Annotated[ComponentConfig | float, SCHEDULES, at_least(0, above=True)]

__all__ = ["NonNegativeScalar", "PositiveScalar", "Scalar", "Schedule", "schedule"]
