"""Beginnings: what data of one's own are, an experiment for them, a component of one's own."""

from vaelab.scaffold.components import Written, new_component, templates
from vaelab.scaffold.experiments import SIZES, VARIANTS, new_experiment
from vaelab.scaffold.inspection import Inspection, inspect_data

__all__ = [
    "SIZES",
    "VARIANTS",
    "Inspection",
    "Written",
    "inspect_data",
    "new_component",
    "new_experiment",
    "templates",
]
