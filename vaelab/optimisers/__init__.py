"""Optimisers: torch's own, each with validated arguments and a learning rate that may be a schedule."""

from vaelab.optimisers.base import Optimiser, OptimiserConfig

__all__ = ["Optimiser", "OptimiserConfig"]
