"""The commands that look at runs: `watch` and `report`. Heavy modules are imported where they are needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vaelab.cli_options import DeviceOption, JsonOption, RunArgument, RunsArgument
from vaelab.cli_output import print_json, say


def register(app: typer.Typer, console: Callable[[], Console]) -> None:
    """Add the commands to the command line.

    Args:
        app: the command line.
        console: where they print.
    """

    @app.command()
    def watch(
        run: RunArgument = "",
        json_: JsonOption = False,
    ) -> None:
        """Follow a run from another terminal until it ends; with --json say how far it is and end at once."""
        from vaelab.watch import follow, look

        if json_:
            print_json(look(run).to_json())
            return
        follow(run, console())

    @app.command()
    def report(
        runs: RunsArgument = None,
        out: Annotated[
            Path | None, typer.Option(help="File to write; by default report.html, in the run where there is one.")
        ] = None,
        docs: Annotated[
            str,
            typer.Option(
                metavar="URL", envvar="VAELAB_DOCS", help="Address of the built documentation, to link components to."
            ),
        ] = "",
        device: DeviceOption = None,
    ) -> None:
        """Write report.html: all of a run on one page, or several runs side by side."""
        from vaelab.report import report as make

        written = make(runs or (), out, docs, device or "auto")
        say(console(), str(written))
