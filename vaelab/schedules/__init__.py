"""Scalars that depend on the step: divergence weights, learning rates, capacities, temperatures.

`Scalar` is the type of a field that takes a number or any registered schedule; after validation it is a config.
"""

from typing import Annotated

from vaelab.registry import SCHEDULES, ComponentConfig
from vaelab.schedules.base import Schedule, schedule

Scalar = Annotated[ComponentConfig | float, SCHEDULES]

__all__ = ["Scalar", "Schedule", "schedule"]
