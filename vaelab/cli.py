"""The command line. Heavy modules are imported by the commands that need them."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape

from vaelab import cli_compare, cli_sampling, cli_sweep
from vaelab.cli_options import (
    DeviceOption,
    OutOption,
    PluginOption,
    RunArgument,
    SeedOption,
    SetOption,
    complete_experiments,
    complete_runs,
)
from vaelab.errors import ConfigError, VaelabError

if TYPE_CHECKING:
    from vaelab.runs import Run

app = typer.Typer(
    name="vaelab",
    help="Variational autoencoders composed from validated JSON.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
console = Console()
errors = Console(stderr=True)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Variational autoencoders composed from validated JSON."""


@app.command()
def run(
    experiment: Annotated[
        Path | None, typer.Argument(help="An experiment's JSON file.", autocompletion=complete_experiments)
    ] = None,
    set_: SetOption = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped.", autocompletion=complete_runs)
    ] = None,
    device: DeviceOption = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Build the model, print the resolved experiment.")] = False,
) -> None:
    """Train, evaluate and picture an experiment."""
    if (experiment is None) == (resume is None):
        raise ConfigError("give an experiment's JSON file, or --resume with a run")
    if resume is not None:
        if set_ or dry_run:
            raise ConfigError("--resume goes on with the run's own config, so it takes neither --set nor --dry-run")
        from vaelab.experiment import resume as go_on

        _finished(go_on(resume, device=device, console=console))
        return
    assert experiment is not None
    from vaelab.config import load_experiment

    loaded = load_experiment(experiment, set_ or ())
    if dry_run:
        summary = _built(loaded)
        console.print_json(loaded.to_json())
        console.print(summary, highlight=False)
        return
    from vaelab.experiment import train

    _finished(train(loaded, out, device=device, console=console))


def _finished(done: Run) -> None:
    from vaelab.evaluation.tables import table

    console.print(table(done.evaluation))
    source = done.evaluation["data"]["source"]
    rows = [
        ("data", f"{source}, binarisation {done.evaluation['data']['binarisation']}"),
        ("weights", done.directory.weights),
        ("evaluation", done.directory.evaluation),
        ("metrics", done.directory.metrics),
        ("figures", done.directory.figures),
    ]
    for name, place in rows:
        console.print(f"{name:<11}{place}", highlight=False, markup=False, soft_wrap=True)


def _built(experiment: Any) -> str:
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


cli_compare.register(app, lambda: console)
cli_sampling.register(app, lambda: console)
cli_sweep.register(app, lambda: console)


@app.command()
def reconstruct(
    run: RunArgument,
    num: Annotated[int, typer.Option(min=1, max=1000, help="How many test data.")] = 16,
    seed: SeedOption = 0,
    out: OutOption = None,
    device: DeviceOption = None,
) -> None:
    """Draw test data beside their reconstructions."""
    _figure(run, {"kind": "reconstructions", "number": num}, seed, out, device)


@app.command()
def traverse(
    run: RunArgument,
    group: Annotated[int, typer.Option(min=0, help="Latent group.")] = 0,
    units: Annotated[int, typer.Option(min=1, help="How many units, the most informative first.")] = 10,
    steps: Annotated[int, typer.Option(min=2, help="Pictures a unit.")] = 11,
    seed: SeedOption = 0,
    out: OutOption = None,
    device: DeviceOption = None,
) -> None:
    """Draw what each latent unit does to a picture."""
    _figure(run, {"kind": "traversals", "group": group, "units": units, "steps": steps}, seed, out, device)


def _figure(run: str, figure: dict[str, Any], seed: int, out: Path | None, device: str | None) -> None:
    from vaelab.config import EvaluationConfig
    from vaelab.evaluation import draw
    from vaelab.runs import load_run

    loaded = load_run(run, device or "auto")
    config = EvaluationConfig.model_validate({"metrics": [], "figures": [figure], "seed": seed})
    folder = out or loaded.directory.figures
    written = draw(loaded.model, loaded.data, config, loaded.history, folder, loaded.experiment.name)
    if not written:
        raise VaelabError(f"{loaded.path}: the figure '{figure['kind']}' has nothing to show for this model")
    for path in written:
        console.print(str(path), highlight=False, markup=False, soft_wrap=True)


@app.command("list")
def list_(
    family: Annotated[str | None, typer.Argument(help="A family, such as prior; all where left out.")] = None,
    plugin: PluginOption = None,
) -> None:
    """List the components that are registered."""
    from rich.table import Table

    from vaelab.catalogue import family as find
    from vaelab.plugins import load_plugins
    from vaelab.registry import FAMILIES

    load_plugins(plugin or ())
    families = [find(family)] if family else list(FAMILIES.values())
    table = Table("family", "kind", "what it is", box=None, header_style="bold", pad_edge=False)
    for registry in families:
        for entry in registry:
            table.add_row(registry.family, entry.kind, escape(entry.summary))
    console.print(table)


@app.command()
def show(
    family: Annotated[str, typer.Argument(help="A family, such as prior.")],
    kind: Annotated[str, typer.Argument(help="A kind, such as vamp.")],
    plugin: PluginOption = None,
) -> None:
    """Show a component: what it computes and what its JSON takes."""
    from rich.markdown import Markdown
    from rich.table import Table

    from vaelab.catalogue import arguments, docstring, example
    from vaelab.catalogue import family as find
    from vaelab.plugins import load_plugins

    load_plugins(plugin or ())
    entry = find(family)[kind]
    console.print(f"[bold]{family} {entry.kind}[/bold]  ({entry.module})", highlight=False)
    console.print(Markdown(docstring(entry)))
    table = Table("key", "type", "default", "what it does", box=None, header_style="bold", pad_edge=False)
    for argument in arguments(entry.config):
        table.add_row(*map(escape, (argument.name, argument.type, argument.default, argument.description)))
    console.print(table)
    console.print(f"\nexample: {example(entry)}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def validate(
    experiments: Annotated[
        list[Path], typer.Argument(help="Experiments' JSON files.", autocompletion=complete_experiments)
    ],
    set_: SetOption = None,
) -> None:
    """Check experiments and build their models, reading no data."""
    from vaelab.config import load_experiment

    failures: list[VaelabError] = []
    for path in experiments:
        try:
            text = _built(load_experiment(path, set_ or ()))
            console.print(f"{path}: valid. {text}", highlight=False, markup=False, soft_wrap=True)
        except VaelabError as error:
            failures.append(error)
            _print_error(str(error) if str(path) in str(error) else f"{path}: {error}")
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
        console.print(f"{out}", highlight=False, markup=False, soft_wrap=True)


def _print_error(message: str) -> None:
    errors.print("[bold red]error[/bold red] ", end="")
    errors.print(message, highlight=False, markup=False, soft_wrap=True)


def main() -> None:
    """Entry point: errors become one message and an exit code."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    # accepted anywhere on the line, not only before the command
    sys.argv[1:] = [argument for argument in arguments if argument != "--debug"]
    handler = RichHandler(console=errors, show_time=False, show_path=False, markup=False)
    logging.getLogger("vaelab").handlers = [handler]
    try:
        app()
    except VaelabError as error:
        if debug:
            raise
        _print_error(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _print_error("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # the reader of a pipe (head, less) left; that is no failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        _print_error(
            f"{type(error).__name__}: {error}\nThis is a defect of vaelab. Run the command again with --debug for the "
            "traceback, and please report it."
        )
        sys.exit(70)
