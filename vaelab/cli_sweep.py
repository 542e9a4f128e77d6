"""The command `sweep`. Heavy modules are imported where they are needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vaelab.cli_options import DeviceOption, JsonOption
from vaelab.cli_output import print_json, say


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
        json_: JsonOption = False,
        device: DeviceOption = None,
    ) -> None:
        """Run an experiment under many configurations and seeds; the same command elsewhere joins in."""
        from vaelab.sweep import run_sweep, sweep_status

        # the lines while it runs would stand among the JSON
        live = Console(quiet=True) if json_ else console()
        results = sweep_status(sweep, out) if status else run_sweep(sweep, out, device=device, console=live)
        if json_:
            print_json(results.to_json())
            return

        console().print(results.table())
        if results.importance:
            shares = ", ".join(f"{path} {share:.2f}" for path, share in results.importance.items())
            say(console(), f"importance  {shares}")
        for run, worker in results.workers.items():
            say(console(), f"running     {run} on {worker['host']}, process {worker['pid']}")
        if results.best is not None:
            say(console(), f"best        trial {results.best.number}: {results.folder / 'best.json'}")
        say(console(), f"results     {results.folder / 'sweep.json'}")
