"""vaelab: variational autoencoders composed from validated JSON.

The names below are loaded when they are used, so that `import vaelab` does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaelab.build import build_model
    from vaelab.config import Experiment, load_experiment, parse_experiment
    from vaelab.ensembles import Ensemble, ensemble
    from vaelab.errors import VaelabError
    from vaelab.experiment import evaluate_run, resume, train
    from vaelab.model import VAE
    from vaelab.runs import Run, load_run
    from vaelab.scaffold import inspect_data, new_experiment
    from vaelab.sweep import load_sweep, run_sweep

__version__ = "0.1.0"

__all__ = [
    "VAE",
    "Ensemble",
    "Experiment",
    "Run",
    "VaelabError",
    "build_model",
    "ensemble",
    "evaluate_run",
    "inspect_data",
    "load_experiment",
    "load_run",
    "load_sweep",
    "new_experiment",
    "parse_experiment",
    "resume",
    "run_sweep",
    "train",
]

_HOMES = {
    "VAE": "model",
    "Ensemble": "ensembles",
    "Experiment": "config",
    "Run": "runs",
    "VaelabError": "errors",
    "build_model": "build",
    "ensemble": "ensembles",
    "evaluate_run": "experiment",
    "inspect_data": "scaffold",
    "load_experiment": "config",
    "load_run": "runs",
    "load_sweep": "sweep",
    "new_experiment": "scaffold",
    "parse_experiment": "config",
    "resume": "experiment",
    "run_sweep": "sweep",
    "train": "experiment",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vaelab' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"vaelab.{_HOMES[name]}"), name)
