"""The run of an experiment: the one that is there, the one that was stopped, or a new one."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from vaelab.config import Experiment
from vaelab.errors import RunError
from vaelab.experiment import resume, train
from vaelab.run_directory import RunDirectory
from vaelab.runs import Run, load_run


def run_of(
    experiment: Experiment, out: Path, *, device: str | None = None, console: Console | None = None, again: bool = False
) -> Run:
    """An evaluated run of exactly this experiment, with as little work as is left to do.

    A finished run under `out` is taken as it is, and one that was stopped goes on. So an experiment of hours can be
    done in several sittings.

    Args:
        experiment: validated.
        out: folder of the runs.
        device: in place of the experiment's.
        console: where progress is shown; silent where None.
        again: train a new run in any case.

    Raises:
        RunError: another process is at it.
    """
    console = console or Console(quiet=True)
    for directory in [] if again else _runs_of(experiment, out):
        if directory.in_use():
            raise RunError(f"{directory.path}: another process trains this experiment. Wait for it, or stop it.")
        if directory.read_manifest().get("status") == "finished" and directory.read_evaluation() is not None:
            return load_run(directory.path, device or "auto")
        if any(directory.checkpoints.glob("step-*")):
            return resume(directory.path, device=device, console=console)
    return train(experiment, out, device=device, console=console)


def values_of(experiment: Experiment, out: Path) -> dict[str, Any] | None:
    """The values of the newest evaluated run of exactly this experiment, None where there is none."""
    for directory in _runs_of(experiment, out):
        if (found := directory.read_evaluation()) is not None:
            values: dict[str, Any] = found["values"]
            return values
    return None


def _runs_of(experiment: Experiment, out: Path) -> list[RunDirectory]:
    """The runs of exactly this experiment, the newest first."""
    wanted = json.loads(experiment.to_json())
    found = []
    for path in sorted((out / experiment.name).glob("*/config.json"), reverse=True):
        directory = RunDirectory(path.parent)
        with suppress(RunError):  # one that cannot be read is no run of this
            if directory.read_config() == wanted:
                found.append(directory)
    return found
