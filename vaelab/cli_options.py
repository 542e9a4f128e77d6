"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def complete_runs(incomplete: str) -> list[str]:
    """Completion: the runs under runs/."""
    found = [str(path.parent) for path in Path("runs").glob("*/*/config.json")]
    return [run for run in sorted(found) if run.startswith(incomplete)]


def complete_experiments(incomplete: str) -> list[str]:
    """Completion: the experiments under experiments/, and any JSON."""
    found = {*Path("experiments").rglob("*.json"), *Path().glob(f"{incomplete}*.json")}
    return [str(path) for path in sorted(found) if str(path).startswith(incomplete)]


RunArgument = Annotated[
    str,
    typer.Argument(
        help="A run's directory, or the name of an experiment for its newest run.", autocompletion=complete_runs
    ),
]
RunsArgument = Annotated[
    list[str],
    typer.Argument(help="Directories of runs, or names of experiments for their newest.", autocompletion=complete_runs),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Set a value, such as training.epochs=3. May be repeated."),
]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps or auto.")]
OutOption = Annotated[Path | None, typer.Option(help="Folder for the pictures; by default in the run.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of every draw.")]
PluginOption = Annotated[list[str] | None, typer.Option("--plugin", help="A module that registers components.")]
