"""The commands for a beginning: `inspect` and `new`. Heavy modules are imported where they are needed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from vaelab.cli_options import JsonOption, complete_families
from vaelab.cli_output import print_json, say
from vaelab.errors import ConfigError

if TYPE_CHECKING:
    from vaelab.scaffold import Inspection

#: What `new experiment` takes where nothing is asked: it needs no network and no file.
_DEFAULT_DATA = '{"kind": "mnist", "offline_fallback": true}'


def register(app: typer.Typer, console: Callable[[], Console]) -> None:
    """Add the commands to the command line.

    Args:
        app: the command line.
        console: where they print.
    """
    new = typer.Typer(no_args_is_help=True, help="Make an experiment, or a component of one's own.")
    app.add_typer(new, name="new")

    @app.command()
    def inspect(
        data: Annotated[
            str,
            typer.Argument(
                metavar="DATA",
                help="A folder of pictures, an array file, a table, a saved data set, a kind, or its JSON.",
            ),
        ],
        limit: Annotated[int, typer.Option(min=2, help="How many data are looked at.")] = 2000,
        json_: JsonOption = False,
    ) -> None:
        """Look at data: sizes, channels, values, and the likelihoods that fit."""
        from vaelab.scaffold import inspect_data

        found = inspect_data(data, limit=limit)
        if json_:
            print_json(found.to_json())
        else:
            _show(Console(), found)
            name = "NAME" if "path" not in found.data else Path(found.data["path"]).stem
            quoted = data if " " not in data and "{" not in data else f"'{data}'"
            say(Console(), f"\nan experiment:  python -m vaelab new experiment {name} --data {quoted}")

    @new.command()
    def experiment(
        name: Annotated[str, typer.Argument(metavar="NAME", help="Of the experiment, of its runs and of the file.")],
        data: Annotated[
            str | None, typer.Option(metavar="DATA", help="As for `inspect`; MNIST where nothing is said.")
        ] = None,
        size: Annotated[str | None, typer.Option(help="small, medium or large networks.")] = None,
        variant: Annotated[
            str | None, typer.Option(help="vae, beta, iwae, vamp, hierarchical or vq.", metavar="VARIANT")
        ] = None,
        out: Annotated[Path, typer.Option(help="Folder of the file.")] = Path(),
        force: Annotated[bool, typer.Option("--force", help="Replace the file where there is one.")] = False,
        json_: JsonOption = False,
    ) -> None:
        """Write an experiment for data, and check it. Asks for what is left out where there is a terminal."""
        from vaelab.cli_catalogue import summary
        from vaelab.config import parse_experiment
        from vaelab.files import write_text
        from vaelab.scaffold import SIZES, VARIANTS, inspect_data, new_experiment

        path = out / f"{name}.json"
        if path.exists() and not force:
            raise ConfigError(f"{path} exists. Choose another name, or --force to replace it.")
        asks = sys.stdin.isatty() and not json_
        if data is None:
            data = typer.prompt("Data: a path, or the kind of a data set", default="mnist") if asks else _DEFAULT_DATA
            data = _DEFAULT_DATA if data == "mnist" else data
        if size is None:
            size = typer.prompt(f"Size ({', '.join(SIZES)})", default="medium") if asks else "medium"
        if variant is None:
            if asks:
                for key, words in VARIANTS.items():
                    say(console(), f"  {key:<13}{words}")
            variant = typer.prompt("Variant", default="vae") if asks else "vae"
        content = new_experiment(name, inspect_data(data), size=size, variant=variant)
        built = summary(parse_experiment(content, str(path)))
        write_text(path, json.dumps(content, indent=2) + "\n")
        if json_:
            print_json({"file": str(path), "summary": built, "experiment": content})
            return
        say(console(), f"{path}: {built}")
        say(console(), f"train it with:  python -m vaelab run {path}")

    @new.command()
    def component(
        family: Annotated[
            str, typer.Argument(metavar="FAMILY", help="Such as prior.", autocompletion=complete_families)
        ],
        name: Annotated[str, typer.Argument(metavar="NAME", help="Its kind, and the name of its module.")],
        package: Annotated[str, typer.Option(help="Your package; made where it is missing.")] = "my_components",
        out: Annotated[Path, typer.Option(help="Folder in which the package lies.")] = Path(),
        json_: JsonOption = False,
    ) -> None:
        """Write a component that works, with its test and a page, to be changed."""
        from vaelab.scaffold import new_component

        written = new_component(family, name, package=package, folder=out)
        if json_:
            print_json({"files": [str(path) for path in written.files], "entry_point": written.entry_point})
            return
        for path in written.files:
            say(console(), str(path))
        if written.entry_point:
            say(console(), f'add to [project.entry-points."vaelab.plugins"] of pyproject.toml:  {written.entry_point}')
        say(console(), f"test it with:  python -m pytest {out / 'tests' / f'test_{name}.py'}")
        say(console(), f'use it with:  "plugins": ["{package}.{name}"], or after pip install -e {out}')


def _show(console: Console, found: Inspection) -> None:
    from rich.table import Table

    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, words in found.facts.items():
        facts.add_row(f"[bold]{name}[/bold]", escape(words))
    facts.add_row("[bold]data set[/bold]", escape(json.dumps(found.data)))
    console.print(facts)
    table = Table("likelihood", "data keys", "why", box=None, header_style="bold", pad_edge=False, title="")
    for suggestion in found.likelihoods:
        keys = json.dumps(suggestion.data) if suggestion.data else ""
        table.add_row(escape(json.dumps(suggestion.likelihood)), escape(keys), escape(suggestion.reason))
    console.print(table)
    for note in found.notes:
        say(console, f"note: {note}")
