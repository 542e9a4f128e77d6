"""Trackers: where metrics and figures go besides the run directory."""

from vaelab.trackers.base import RunInfo, Tracker

__all__ = ["RunInfo", "Tracker"]
