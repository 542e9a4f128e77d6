"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vaelab.errors import ConfigError


def complete_runs(incomplete: str) -> list[str]:
    """Completion: the runs under runs/, and the names of their experiments."""
    found = [path.parent for path in Path("runs").glob("*/*/config.json")]
    names = {path.parent.name for path in found}
    return [run for run in sorted({*map(str, found), *names}) if run.startswith(incomplete)]


def complete_experiments(incomplete: str) -> list[str]:
    """Completion: the experiments under experiments/, and any JSON."""
    found = {*Path("experiments").rglob("*.json"), *Path().glob(f"{incomplete}*.json")}
    return [str(path) for path in sorted(found) if str(path).startswith(incomplete)]


def complete_families(incomplete: str) -> list[str]:
    """Completion: the families of components."""
    from vaelab.registry import FAMILIES

    return [name for name in FAMILIES if name.startswith(incomplete)]


def complete_kinds(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Completion: the kinds of the family that stands before on the line."""
    from vaelab.registry import FAMILIES

    family = FAMILIES.get(str(ctx.params.get("family")))
    return [(e.kind, e.summary) for e in (family.listed() if family else ()) if e.kind.startswith(incomplete)]


def complete_kinds_of(name: str) -> Any:
    """Completion: the kinds of one family."""

    def complete(incomplete: str) -> list[tuple[str, str]]:
        from vaelab.registry import FAMILIES

        return [(e.kind, e.summary) for e in FAMILIES[name].listed() if e.kind.startswith(incomplete)]

    return complete


def complete_splits(incomplete: str) -> list[str]:
    """Completion: the splits of a data set."""
    return [name for name in ("test", "validation", "train") if name.startswith(incomplete)]


def experiments_here() -> str:
    """Which experiments there are in this folder, and how to make one, for messages."""
    found = sorted({*Path("experiments").glob("*.json"), *Path().glob("*.json")})
    listed = f"Here: {', '.join(map(str, found[:8]))}{', ...' if len(found) > 8 else ''}. " if found else ""
    return f"{listed}`python -m vaelab new experiment NAME` makes one."


def _run_given(run: Any) -> Any:
    """Refuse an empty call with a list of what could be asked for, where the parser would only say what is missing."""
    if run:
        return run
    names = sorted({path.parent.parent.name for path in Path("runs").glob("*/*/config.json")})
    listed = f"Under runs there are runs of: {', '.join(names)}." if names else "Under runs there are none yet."
    raise ConfigError(f"say which run: its directory, or the name of its experiment. {listed}")


#: Its default is the empty text, which is refused with a list of the runs.
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's directory, or the name of an experiment for its newest run.",
        autocompletion=complete_runs,
        callback=_run_given,
    ),
]
#: Its default is None, which is refused with a list of the runs.
RunsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN...",
        help="Directories of runs, or names of experiments for their newest.",
        autocompletion=complete_runs,
        callback=_run_given,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Set a value, such as training.epochs=3. May be repeated."),
]
SamplerOption = Annotated[
    str,
    typer.Option(
        metavar="KIND",
        help="Where latents come from; `vaelab list sampler` names the kinds.",
        autocompletion=complete_kinds_of("sampler"),
    ),
]
SamplerSetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a value of the sampler, such as components=20."),
]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps or auto.")]
OutOption = Annotated[Path | None, typer.Option(help="Folder for the pictures; by default in the run.")]
SeedOption = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of every draw.")]
PluginOption = Annotated[list[str] | None, typer.Option("--plugin", help="A module that registers components.")]
SplitOption = Annotated[str, typer.Option(help="test, validation or train.", autocompletion=complete_splits)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON in place of text and tables.")]
