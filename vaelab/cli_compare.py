"""The commands that measure finished runs: `evaluate` and `compare`. Heavy modules are imported where they are needed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vaelab.cli_options import DeviceOption, RunsArgument


def register(app: typer.Typer, console: Callable[[], Console]) -> None:
    """Add the commands to the command line.

    Args:
        app: the command line.
        console: where they print.
    """

    @app.command()
    def evaluate(
        runs: RunsArgument,
        split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
        metric: Annotated[
            list[str] | None,
            typer.Option(metavar="KIND|JSON", help="Measure this and add it to the evaluation. May be repeated."),
        ] = None,
        limit: Annotated[int | None, typer.Option(min=1, help="Measure the first so many data only.")] = None,
        device: DeviceOption = None,
    ) -> None:
        """Evaluate finished runs and draw their figures again; with --metric or --limit, measure only."""
        from vaelab.comparison import evaluate_more, metric_configs
        from vaelab.evaluation.tables import table
        from vaelab.experiment import evaluate_run
        from vaelab.runs import load_run

        loaded = [load_run(run, device or "auto") for run in runs]
        configs = metric_configs(metric or ())
        for run in loaded:
            if len(loaded) > 1:
                console().print(str(run.path), highlight=False, markup=False, soft_wrap=True)
            if configs or limit is not None:
                found = evaluate_more(run, configs, split=split, limit=limit)
            else:
                found = evaluate_run(run, split=split)
            console().print(table(found.to_json()))

    @app.command()
    def compare(
        runs: RunsArgument,
        metric: Annotated[
            list[str] | None,
            typer.Option(metavar="NAME", help="A value to compare, such as nll_is128. May be repeated."),
        ] = None,
        split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
        out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("comparison"),
        json_: Annotated[bool, typer.Option("--json", help="Print comparison.json in place of a table.")] = False,
    ) -> None:
        """Put evaluated runs side by side, by configuration and over seeds."""
        from vaelab.comparison import compare as put_together

        comparison = put_together(runs, metrics=metric or (), split=split)
        written = comparison.write(out)
        if json_:
            sys.stdout.write(written[0].read_text(encoding="utf-8"))
            return
        console().print(comparison.table())
        for path in written:
            console().print(str(path), highlight=False, markup=False, soft_wrap=True)
