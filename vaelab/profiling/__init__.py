"""Where the time of a training step goes."""

from vaelab.profiling.profile import profiled

__all__ = ["profiled"]
