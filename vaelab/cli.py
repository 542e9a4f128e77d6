"""The command line. Heavy modules are imported by the commands that need them."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from vaelab import (
    cli_catalogue,
    cli_compare,
    cli_explore,
    cli_export,
    cli_reproduce,
    cli_rerun,
    cli_sampling,
    cli_scaffold,
    cli_sweep,
    cli_watch,
)
from vaelab.cli_options import (
    DeviceOption,
    JsonOption,
    OutOption,
    RunArgument,
    SeedOption,
    SetOption,
    complete_experiments,
    complete_runs,
    experiments_here,
)
from vaelab.cli_output import LogHandler, print_error, print_json, say, take_flags
from vaelab.errors import ConfigError, VaelabError
from vaelab.processes import current, launched, speaks, start

if TYPE_CHECKING:
    from vaelab.runs import Run

_EPILOG = """\
Begin with `new experiment NAME`, or `inspect DATA` for data of your own; `list` and `show` tell what a JSON may say.

Exit codes: 0 done, 1 other errors, 2 command or configuration not valid, 3 data, 4 runs and devices, 5 NaN or infinity,
6 disk or permission, 7 a run done again differs, 70 defect of vaelab, 130 stopped.
"""

app = typer.Typer(
    name="vaelab",
    help="Variational autoencoders composed from validated JSON.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
#: What several processes do together.
_SHARED = ("run", "evaluate")

console = Console()
errors = Console(stderr=True)


def _version(asked: bool) -> None:
    if asked:
        from vaelab import __version__

        print(f"vaelab {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print warnings and errors, and what --json asks for, alone.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more of what is done.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Variational autoencoders composed from validated JSON."""
    if launched() and context.invoked_subcommand not in _SHARED:
        raise ConfigError(
            f"several processes share {' and '.join(_SHARED)}, and were started for {context.invoked_subcommand}. Start it "
            "without torchrun."
        )
    # the flags are taken from the line by `main`, wherever they stand; they are here for --help


@app.command()
def run(
    experiment: Annotated[
        Path | None, typer.Argument(help="An experiment's JSON file.", autocompletion=complete_experiments)
    ] = None,
    set_: SetOption = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped.", autocompletion=complete_runs)
    ] = None,
    resume_from: Annotated[
        Literal["latest", "previous"],
        typer.Option(help="The checkpoint to go on from; `previous` where the latest is damaged."),
    ] = "latest",
    on_nonfinite: Annotated[
        Literal["stop", "skip", "warn"] | None,
        typer.Option(help="What to do where a term or gradient is NaN or infinite; by default as the file says."),
    ] = None,
    device: DeviceOption = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Build the model, print the resolved experiment.")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Record some steps: a table, a flame graph and a trace in RUN/profile.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Train, evaluate and picture an experiment."""
    start()
    if experiment is None and resume is None:
        raise ConfigError(f"give an experiment's JSON file, or --resume with a run. {experiments_here()}")
    if experiment is not None and resume is not None:
        raise ConfigError("give an experiment's JSON file or --resume with a run, not both")
    # the lines of the training would stand among the JSON
    live = Console(quiet=True) if json_ else console
    if resume is not None:
        if set_ or dry_run or on_nonfinite:
            raise ConfigError(
                "--resume goes on with the run's own config, so it takes no --set, --on-nonfinite or --dry-run"
            )
        from vaelab.experiment import resume as go_on

        _finished(
            go_on(resume, previous=resume_from == "previous", device=device, console=live, profile=profile), json_
        )
        return
    assert experiment is not None
    if resume_from != "latest":
        raise ConfigError("--resume-from says where --resume goes on, so it takes a run")
    from vaelab.config import load_experiment

    policy = [f"training.on_nonfinite={on_nonfinite}"] if on_nonfinite else []
    loaded = load_experiment(experiment, [*(set_ or ()), *policy])
    if dry_run:
        built = cli_catalogue.summary(loaded)
        if json_:
            print_json(loaded.model_dump(mode="json"))
            return
        console.print_json(loaded.to_json())
        say(console, built)
        return
    from vaelab.experiment import train

    _finished(train(loaded, out, device=device, console=live, profile=profile), json_)


def _finished(done: Run, as_json: bool) -> None:
    if not current().main:
        return
    from vaelab.evaluation.tables import table

    if as_json:
        print_json({"directory": str(done.path), **done.evaluation})
        return
    console.print(table(done.evaluation))
    source = done.evaluation["data"]["source"]
    rows = [
        ("data", f"{source}, binarisation {done.evaluation['data']['binarisation']}"),
        ("weights", done.directory.weights),
        ("evaluation", done.directory.evaluation),
        ("metrics", done.directory.metrics),
        ("figures", done.directory.figures),
        *(
            [("profile", done.directory.profile / "profile.md")]
            if (done.directory.profile / "profile.md").exists()
            else []
        ),
        *([("report", done.directory.report)] if done.experiment.evaluation.report else []),
    ]
    for name, place in rows:
        say(console, f"{name:<11}{place}")


cli_compare.register(app, lambda: console)
cli_sampling.register(app, lambda: console)
cli_explore.register(app, lambda: console)
cli_sweep.register(app, lambda: console)
cli_export.register(app, lambda: console)
cli_scaffold.register(app, lambda: console)
cli_catalogue.register(app, lambda: console, lambda: errors)
cli_watch.register(app, lambda: console)
cli_rerun.register(app, lambda: console)
cli_reproduce.register(app, lambda: console)


@app.command()
def reconstruct(
    run: RunArgument = "",
    num: Annotated[int, typer.Option(min=1, max=1000, help="How many test data.")] = 16,
    seed: SeedOption = 0,
    out: OutOption = None,
    device: DeviceOption = None,
) -> None:
    """Draw test data beside their reconstructions."""
    _figure(run, {"kind": "reconstructions", "number": num}, seed, out, device)


@app.command()
def traverse(
    run: RunArgument = "",
    group: Annotated[int, typer.Option(min=0, help="Latent group.")] = 0,
    units: Annotated[int, typer.Option(min=1, max=1000, help="How many units, the most informative first.")] = 10,
    steps: Annotated[int, typer.Option(min=2, max=1000, help="Pictures a unit.")] = 11,
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
        say(console, str(path))


def main() -> None:
    """Entry point: errors become one message and an exit code."""
    global console
    sys.argv[1:], flags = take_flags(sys.argv[1:])
    if flags.quiet or (launched() and os.environ["RANK"] != "0"):
        console = Console(quiet=True)
    logger = logging.getLogger("vaelab")
    logger.handlers = [LogHandler(errors)]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # names of files may hold what no encoding has
            stream.reconfigure(errors="backslashreplace")
    logger.setLevel(logging.INFO if flags.verbose and not flags.quiet else logging.WARNING)
    try:
        app(prog_name=_program())
    except VaelabError as error:
        if flags.debug:
            raise
        if speaks(error):
            print_error(errors, str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt as error:
        if speaks(error):
            print_error(errors, "interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # the reader of a pipe (head, less) left; that is no failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if flags.debug:
            raise
        if not speaks(error):
            sys.exit(70)
        print_error(
            errors,
            f"{type(error).__name__}: {error}\nThis is a defect of vaelab. Run the command again with --debug for the "
            "traceback, and please report it.",
        )
        sys.exit(70)


def _program() -> str | None:
    """The name under which help and completion know the command; None leaves it to be found out.

    A shell completes the arguments of `vaelab`; it cannot complete those of `python -m vaelab`, for which it would ask
    python.
    """
    completing = "_VAELAB_COMPLETE" in os.environ or {"--install-completion", "--show-completion"} & set(sys.argv)
    return "vaelab" if completing else None
