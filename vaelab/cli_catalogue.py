"""The commands that look at components and check experiments: `list`, `show`, `validate` and `schema`.

Heavy modules are imported where they are needed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from vaelab.cli_options import (
    JsonOption,
    PluginOption,
    SetOption,
    complete_experiments,
    complete_families,
    complete_kinds,
    experiments_here,
)
from vaelab.cli_output import print_error, print_json, say
from vaelab.errors import ConfigError, VaelabError

if TYPE_CHECKING:
    from vaelab.config import Experiment
    from vaelab.registry import Registry


def register(app: typer.Typer, console: Callable[[], Console], errors: Callable[[], Console]) -> None:
    """Add the commands to the command line.

    Args:
        app: the command line.
        console: where they print what `--quiet` leaves out. What `list` and `show` find is printed in any case.
        errors: where errors go.
    """

    @app.command("list")
    def list_(
        family: Annotated[
            str | None,
            typer.Argument(help="A family, such as prior; all where left out.", autocompletion=complete_families),
        ] = None,
        plugin: PluginOption = None,
        json_: JsonOption = False,
    ) -> None:
        """List the components that are registered."""
        from rich.table import Table

        from vaelab.catalogue import family as find
        from vaelab.plugins import load_plugins
        from vaelab.registry import FAMILIES

        load_plugins(plugin or ())
        families = [find(family)] if family else list(FAMILIES.values())
        entries = [(registry.family, entry) for registry in families for entry in registry.listed()]
        if json_:
            print_json(
                [{"family": name, "kind": e.kind, "summary": e.summary, "module": e.module} for name, e in entries]
            )
            return
        table = Table("family", "kind", "what it is", box=None, header_style="bold", pad_edge=False)
        for name, entry in entries:
            table.add_row(name, entry.kind, escape(entry.summary))
        Console().print(table)

    @app.command()
    def show(
        family: Annotated[
            str | None, typer.Argument(help="A family, such as prior.", autocompletion=complete_families)
        ] = None,
        kind: Annotated[str | None, typer.Argument(help="A kind, such as vamp.", autocompletion=complete_kinds)] = None,
        plugin: PluginOption = None,
        json_: JsonOption = False,
    ) -> None:
        """Show a component: what it computes and what its JSON takes."""
        from dataclasses import asdict

        from rich.markdown import Markdown
        from rich.table import Table

        from vaelab.catalogue import arguments, docstring, example, literal_formulas
        from vaelab.plugins import load_plugins

        load_plugins(plugin or ())
        registry, kind = _component(family, kind)
        entry = registry[kind]
        keys = arguments(entry.config)
        if json_:
            print_json(
                {
                    "family": registry.family,
                    "kind": entry.kind,
                    "module": entry.module,
                    "docstring": docstring(entry),
                    "keys": [asdict(argument) for argument in keys],
                    "example": json.loads(example(entry)),
                }
            )
            return
        screen = Console()
        screen.print(f"[bold]{registry.family} {entry.kind}[/bold]  ({entry.module})", highlight=False)
        screen.print(Markdown(literal_formulas(docstring(entry))))
        table = Table("key", "type", "default", "what it does", box=None, header_style="bold", pad_edge=False)
        for argument in keys:
            table.add_row(*map(escape, (argument.name, argument.type, argument.default, argument.description)))
        screen.print(table)
        say(screen, f"\nexample: {example(entry)}")

    @app.command()
    def validate(
        experiments: Annotated[
            list[Path] | None, typer.Argument(help="Experiments' JSON files.", autocompletion=complete_experiments)
        ] = None,
        set_: SetOption = None,
        json_: JsonOption = False,
    ) -> None:
        """Check experiments and build their models, reading no data."""
        from vaelab.config import load_experiment

        if not experiments:
            raise ConfigError(f"give the JSON files of experiments. {experiments_here()}")
        found: list[dict[str, Any]] = []
        failures: list[VaelabError] = []
        for path in experiments:
            try:
                text = summary(load_experiment(path, set_ or ()))
                found.append({"file": str(path), "valid": True, "summary": text})
                if not json_:
                    say(console(), f"{path}: valid. {text}")
            except VaelabError as error:
                failures.append(error)
                message = str(error) if str(path) in str(error) else f"{path}: {error}"
                found.append({"file": str(path), "valid": False, "exit_code": error.exit_code, "error": message})
                print_error(errors(), message)
        if json_:
            print_json(found)
        if failures:
            raise typer.Exit(failures[0].exit_code)

    @app.command()
    def schema(
        out: Annotated[Path | None, typer.Option(help="File to write; the screen where left out.")] = None,
        plugin: PluginOption = None,
    ) -> None:
        """Write the JSON Schema of experiments, for completion in editors."""
        from vaelab.config import experiment_schema
        from vaelab.files import write_text
        from vaelab.plugins import load_plugins

        load_plugins(plugin or ())
        text = json.dumps(experiment_schema(), indent=2) + "\n"
        if out is None:
            sys.stdout.write(text)
        else:
            write_text(out, text)
            say(console(), str(out))


def _component(family: str | None, kind: str | None) -> tuple[Registry, str]:
    """What `show` is asked for: a family and a kind, or a kind alone where only one family has it.

    Raises:
        ConfigError: there is no such component, or several; the message lists what there is.
    """
    from vaelab.catalogue import family as find
    from vaelab.registry import FAMILIES

    if family is None:
        raise ConfigError(
            f"say which component: a family and a kind, such as `show prior vamp`. Families: {', '.join(FAMILIES)}."
        )
    if kind is not None:
        return find(family), kind
    if family in FAMILIES:
        kinds = FAMILIES[family].kinds()
        raise ConfigError(f"say which {family}, such as `show {family} {kinds[0]}`: {', '.join(kinds)}.")
    holders = [registry for registry in FAMILIES.values() if family in registry.kinds()]
    if not holders:
        find(family)  # says which families there are
    if len(holders) > 1:
        which = ", ".join(f"`show {registry.family} {family}`" for registry in holders)
        raise ConfigError(f"'{family}' is a kind of several families: {which}.")
    return holders[0], family


def summary(experiment: Experiment) -> str:
    """Build an experiment's model without reading data, and say what came out."""
    from vaelab.build import build
    from vaelab.metrics import check_metrics
    from vaelab.registry import DATASETS

    spec = DATASETS.build(experiment.data).spec
    model, _ = build(experiment.model, experiment.objective, spec)
    check_metrics((*experiment.training.validation, *experiment.evaluation.metrics), spec)
    size = sum(parameter.numel() for parameter in model.parameters())
    groups = ", ".join("x".join(map(str, group.shape)) for group in model.prior.latent.groups[:8])
    more = ", ..." if model.depth > 8 else ""
    return f"{experiment.name}: {size:,} parameters, {model.depth} latent group(s) of {groups}{more}"
