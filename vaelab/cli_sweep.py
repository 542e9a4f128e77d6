"""The command `sweep`. Heavy modules are imported where they are needed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vaelab.cli_options import DeviceOption


def register(app: typer.Typer, console: Callable[[], Console]) -> None:
    """Add the command to the command line.

    Args:
        app: the command line.
        console: where it prints.
    """

    @app.command()
    def sweep(
        sweep: Annotated[Path, typer.Argument(metavar="SWEEP", help="A sweep's JSON file.")],
        out: Annotated[Path, typer.Option(help="Folder of the sweeps.")] = Path("sweeps"),
        status: Annotated[bool, typer.Option("--status", help="Show how far it is; run nothing.")] = False,
        json_: Annotated[bool, typer.Option("--json", help="Print sweep.json in place of a table.")] = False,
        device: DeviceOption = None,
    ) -> None:
        """Run an experiment under many configurations and seeds; the same command elsewhere joins in."""
        from vaelab.sweep import run_sweep, sweep_status

        # the lines while it runs would stand among the JSON
        live = Console(quiet=True) if json_ else console()
        results = sweep_status(sweep, out) if status else run_sweep(sweep, out, device=device, console=live)
        if json_:
            sys.stdout.write(json.dumps(results.to_json(), indent=2) + "\n")
            return

        def say(text: str) -> None:
            console().print(text, highlight=False, markup=False, soft_wrap=True)

        console().print(results.table())
        if results.importance:
            shares = ", ".join(f"{path} {share:.2f}" for path, share in results.importance.items())
            say(f"importance  {shares}")
        for run, worker in results.workers.items():
            say(f"running     {run} on {worker['host']}, process {worker['pid']}")
        if results.best is not None:
            say(f"best        trial {results.best.number}: {results.folder / 'best.json'}")
        say(f"results     {results.folder / 'sweep.json'}")
