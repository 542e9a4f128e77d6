"""Sweeps: one experiment under many configurations and seeds, by any number of workers."""

from vaelab.sweep.config import Pruning, Sweep, load_sweep, parse_sweep
from vaelab.sweep.results import Results, TrialResult
from vaelab.sweep.space import Dimension
from vaelab.sweep.worker import run_sweep, sweep_status

__all__ = [
    "Dimension",
    "Pruning",
    "Results",
    "Sweep",
    "TrialResult",
    "load_sweep",
    "parse_sweep",
    "run_sweep",
    "sweep_status",
]
