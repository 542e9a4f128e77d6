"""The commands that measure finished runs: `evaluate` and `compare`. Heavy modules are imported where they are needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vaelab.cli_options import DeviceOption, JsonOption, RunsArgument, SplitOption, complete_kinds_of
from vaelab.cli_output import print_json, say
from vaelab.processes import start


def register(app: typer.Typer, console: Callable[[], Console]) -> None:
    """Add the commands to the command line.

    Args:
        app: the command line.
        console: where they print.
    """

    @app.command()
    def evaluate(
        runs: RunsArgument = None,
        split: SplitOption = "test",
        metric: Annotated[
            list[str] | None,
            typer.Option(
                metavar="KIND|JSON",
                help="Measure this and add it to the evaluation. May be repeated.",
                autocompletion=complete_kinds_of("metric"),
            ),
        ] = None,
        limit: Annotated[int | None, typer.Option(min=1, help="Measure the first so many data only.")] = None,
        device: DeviceOption = None,
        json_: JsonOption = False,
    ) -> None:
        """Evaluate finished runs and draw their figures again; with --metric or --limit, measure only."""
        from vaelab.comparison import evaluate_more, metric_configs
        from vaelab.evaluation.tables import table
        from vaelab.experiment import evaluate_run
        from vaelab.runs import load_run

        processes = start()
        loaded = [load_run(run, device or "auto") for run in runs or ()]
        configs = metric_configs(metric or ())
        measured = []
        shown = console() if processes.main and not json_ else None
        for run in loaded:
            if len(loaded) > 1 and not json_:
                say(console(), str(run.path))
            if configs or limit is not None:
                found = evaluate_more(run, configs, split=split, limit=limit, console=shown)
            else:
                found = evaluate_run(run, split=split, console=shown)
            measured.append({"directory": str(run.path), **found.to_json()})
            if not json_ and processes.main:
                console().print(table(found.to_json()))
        if json_ and processes.main:
            print_json(measured)

    @app.command()
    def compare(
        runs: RunsArgument = None,
        metric: Annotated[
            list[str] | None,
            typer.Option(metavar="NAME", help="A value to compare, such as nll_is128. May be repeated."),
        ] = None,
        split: SplitOption = "test",
        out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("comparison"),
        json_: JsonOption = False,
    ) -> None:
        """Put evaluated runs side by side, by configuration and over seeds."""
        from vaelab.comparison import compare as put_together

        comparison = put_together(runs or (), metrics=metric or (), split=split)
        written = comparison.write(out)
        if json_:
            print_json(comparison.to_json())
            return
        console().print(comparison.table())
        for path in written:
            say(console(), str(path))
