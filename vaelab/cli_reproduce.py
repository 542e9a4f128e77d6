"""The command `reproduce`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from vaelab.cli_options import DeviceOption, JsonOption
from vaelab.cli_output import print_json, say
from vaelab.errors import ConfigError, DifferenceError

if TYPE_CHECKING:
    from rich.table import Table

    from vaelab.config import Experiment
    from vaelab.reproduce import Paper, Verdict

_PAPERS = Path("experiments/papers")


def _complete(incomplete: str) -> list[str]:
    paths = [*_PAPERS.glob("*/published.toml"), *_PAPERS.glob("*/*.json")]
    names = {path.parent.name for path in paths} | {path.stem for path in paths if path.suffix == ".json"}
    return sorted(name for name in names if name.startswith(incomplete))


def register(app: typer.Typer, console: Callable[[], Console]) -> None:
    """Add the command to the command line.

    Args:
        app: the command line.
        console: where it prints.
    """

    @app.command()
    def reproduce(
        names: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="NAME...",
                help="Papers or experiments of papers; all where none is given.",
                autocompletion=_complete,
            ),
        ] = None,
        short: Annotated[bool, typer.Option(help="Train the shortened versions, which tell of regressions.")] = False,
        judge: Annotated[bool, typer.Option(help="Train nothing; judge the runs that are there.")] = False,
        again: Annotated[bool, typer.Option(help="Train anew, even where a finished run is there.")] = False,
        papers: Annotated[Path, typer.Option(help="Folder of the papers.")] = _PAPERS,
        out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
        device: DeviceOption = None,
        json_: JsonOption = False,
    ) -> None:
        """Train the experiments of papers, and say whether their published figures are reached."""
        from vaelab.reproduce import over_seeds, read_papers, run_of, values_of, verdicts

        progress = None if json_ else console()
        found: list[Verdict] = []
        trained: set[str] = set()  # several figures may be of one experiment, which `--again` trains anew once

        def of(experiment: Experiment, wanted: bool) -> Mapping[str, Any] | None:
            key = experiment.to_json()
            there = None if again and wanted and key not in trained else values_of(experiment, out)
            if there is None and wanted:
                if progress:
                    say(progress, f"{experiment.name}, seed {experiment.seed}")
                there = run_of(experiment, out, device=device, console=progress, again=again).evaluation["values"]
                trained.add(key)
            return there

        for paper, wanted in _chosen(read_papers(papers), names or [], short=short):
            values: dict[str, Mapping[str, Any]] = {}
            for name, figure in paper.figures.items():
                if short and figure.short is None:
                    continue
                # experiments that were not asked for may have a part in a difference or an order
                runs = [of(e, name in wanted and not judge) for e in paper.trainings(name, short=short)]
                there = [run for run in runs if run is not None]
                values[name] = over_seeds(there) if len(there) == len(runs) else {}
            found += [v for v in verdicts(paper, values, short=short) if wanted.intersection(v.experiments)]
        if json_:
            print_json([asdict(verdict) for verdict in found])
        else:
            console().print(_table(found, short=short))
        missed = [verdict for verdict in found if verdict.reached is False]
        if missed:
            raise DifferenceError(
                f"{len(missed)} of {len(found)} {'values are not those of earlier runs' if short else 'are not reached'}: "
                + "; ".join(f"{', '.join(verdict.experiments)} ({verdict.what})" for verdict in missed)
            )


def _chosen(papers: list[Paper], names: list[str], *, short: bool) -> list[tuple[Paper, set[str]]]:
    """Each paper with those of its experiments that were asked for."""
    known = {paper.name for paper in papers}
    for paper in papers:
        known |= {name for key, figure in paper.figures.items() for name in (key, figure.experiment) if name}
    if unknown := [name for name in names if name not in known]:
        import difflib

        near = difflib.get_close_matches(unknown[0], sorted(known), n=1)
        hint = f" Did you mean '{near[0]}'?" if near else f" There are: {', '.join(sorted(known))}."
        raise ConfigError(f"'{unknown[0]}' is no paper and no experiment of one.{hint}")
    chosen = []
    for paper in papers:
        wanted = {
            name
            for name, figure in paper.figures.items()
            if not names or {paper.name, name, figure.experiment}.intersection(names)
        }
        if short:
            wanted = {name for name in wanted if paper.figures[name].short is not None}
        if wanted:
            chosen.append((paper, wanted))
    return chosen


def _table(found: list[Verdict], *, short: bool) -> Table:
    from rich.markup import escape
    from rich.table import Table

    rows = Table(title="Short versions" if short else "Published and ours", title_justify="left")
    rows.add_column("what")
    for column in ("expected" if short else "published", "ours", "difference", "allowed"):
        rows.add_column(column, justify="right", no_wrap=True)
    rows.add_column("reached", no_wrap=True)
    words = {True: "yes", False: "no", None: "not run"}
    for paper, verdicts in groupby(found, lambda verdict: verdict.paper):
        rows.add_row(f"[bold]{escape(paper)}[/bold]")
        for verdict in verdicts:
            rows.add_row(
                escape(f"{verdict.what}, {verdict.value}"),
                _shown(verdict.published),
                _shown(verdict.ours),
                _shown(verdict.difference, "+"),
                _shown(verdict.within),
                words[verdict.reached],
            )
        rows.add_section()
    return rows


def _shown(value: float | str | None, sign: str = "") -> str:
    """A number; the words of an order say nothing that `what` does not."""
    if not isinstance(value, float):
        return ""
    return f"{value:{sign}.2f}" if abs(value) >= 10 else f"{value:{sign}.3g}"
