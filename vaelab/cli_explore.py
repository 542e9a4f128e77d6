"""The command `explore`. Heavy modules are imported where they are needed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Console

from vaelab.cli_options import DeviceOption, JsonOption, RunArgument, SamplerOption, SamplerSetOption, complete_runs
from vaelab.cli_output import print_json, say


def register(app: typer.Typer, console: Callable[[], Console]) -> None:
    """Add the command to the command line.

    Args:
        app: the command line.
        console: where it prints.
    """

    @app.command()
    def explore(
        run: RunArgument = "",
        other: Annotated[
            str | None,
            typer.Argument(metavar="OTHER", help="A second run of the same data.", autocompletion=complete_runs),
        ] = None,
        port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 0,
        browser: Annotated[
            bool, typer.Option("--browser/--no-browser", help="Open the page, or print its address alone.")
        ] = True,
        sampler: SamplerOption = "prior",
        set_: SamplerSetOption = None,
        json_: JsonOption = False,
        device: DeviceOption = None,
    ) -> None:
        """Open a page on which to move latents, walk between data, draw and sample; of two runs side by side."""

        def report(text: str) -> None:
            if not json_:
                say(console(), text)

        from vaelab.explorer import explore as start
        from vaelab.explorer import open_browser
        from vaelab.generation import sampler_config

        explorer = start(
            run, other, port=port, device=device or "auto", sampler=sampler_config(sampler, set_ or ()), report=report
        )
        # the first Ctrl-C after the address was printed is how it ends
        with suppress(KeyboardInterrupt):
            if json_:
                print_json({"url": explorer.url, "runs": [str(subject.run.path) for subject in explorer.subjects]})
            else:
                say(console(), explorer.url)
                say(console(), "Ctrl-C ends it.")
            # whoever reads a pipe waits for the address, and the process goes on
            sys.stdout.flush()
            if browser and not open_browser(explorer.url) and not json_:
                say(console(), "No graphical browser was found: open the address in one on this machine.")
            explorer.serve()
