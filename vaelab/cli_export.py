"""The command `export`. Heavy modules are imported where they are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from vaelab.cli_options import JsonOption, RunArgument
from vaelab.cli_output import print_json, say


def register(app: typer.Typer, console: Callable[[], Console]) -> None:
    """Add the command to the command line.

    Args:
        app: the command line.
        console: where it prints.
    """

    @app.command()
    def export(
        run: RunArgument = "",
        part: Annotated[
            list[str] | None, typer.Option(help="encoder, decoder or sampler; all where left out. May be repeated.")
        ] = None,
        format_: Annotated[
            list[str] | None, typer.Option("--format", help="onnx or torch; both where left out. May be repeated.")
        ] = None,
        out: Annotated[Path | None, typer.Option(help="Folder of the graphs; by default in the run.")] = None,
        json_: JsonOption = False,
    ) -> None:
        """Write the model as graphs that need no vaelab: ONNX and torch.export. Each is checked against the model."""
        from rich.table import Table

        from vaelab.export import FORMATS, export_run
        from vaelab.runs import load_run

        loaded = load_run(run, "cpu")
        graphs = export_run(loaded, out, parts=part or (), formats=format_ or tuple(FORMATS))
        if json_:
            print_json([asdict(graph) for graph in graphs])
            return
        table = Table("graph", "inputs", "outputs", "differs by", box=None, header_style="bold", pad_edge=False)
        for graph in graphs:
            if graph.file is not None:
                inputs, outputs = (
                    ", ".join(f"{name} {shape}" for name, shape in shapes.items())
                    for shapes in (graph.inputs, graph.outputs)
                )
                table.add_row(
                    graph.file,
                    *map(escape, (inputs.replace("'", ""), outputs.replace("'", ""))),
                    f"{graph.difference:.1g}",
                )
        console().print(table)
        for name, reason in {graph.part: graph.reason for graph in graphs if graph.file is None}.items():
            say(console(), f"no {name}: {reason}")
        say(console(), f"graphs and export.json in {out or loaded.path / 'export'}")
