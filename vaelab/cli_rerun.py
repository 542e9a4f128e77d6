"""The command `rerun`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vaelab.cli_options import DeviceOption, RunArgument
from vaelab.errors import DifferenceError


def register(app: typer.Typer, console: Callable[[], Console]) -> None:
    """Add the command to the command line.

    Args:
        app: the command line.
        console: where it prints.
    """

    @app.command()
    def rerun(
        run: RunArgument = "",
        device: DeviceOption = None,
        out: Annotated[Path, typer.Option(help="Folder of the new run.")] = Path("reruns"),
    ) -> None:
        """Do a finished run again from its own record, and report every difference."""
        from vaelab.rerun import rerun as again

        done = again(run, out, device=device, console=console())
        for difference in done.differences:
            console().print(str(difference), highlight=False, markup=False, soft_wrap=True)
        if not done.same:
            raise DifferenceError(
                f"{done.run.path}: the values are not those of {run}. Differences of the environment, where there are "
                "any, are above; deterministic true and the recorded number of threads give the same bits on one machine."
            )
        console().print(
            f"{done.run.path}: the same weights, metrics and evaluation, bit for bit",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
