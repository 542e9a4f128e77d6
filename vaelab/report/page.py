"""The page: one file with all of one or several runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vaelab.comparison import compare
from vaelab.errors import ConfigError, VaelabError
from vaelab.files import write_text
from vaelab.health import Finding
from vaelab.health.latents import unit_reports
from vaelab.pages import base_style, policy, source, template, version
from vaelab.reading import leaves
from vaelab.report import charts, maps
from vaelab.report.collect import Picture, RunContent, collect
from vaelab.report.mathematics import marked_up
from vaelab.report.settings import parts, settings
from vaelab.report.values import Bars, bars, group_bars, tables
from vaelab.runs import RunDirectory

#: Said of the figures that most runs have, where one is missing.
_EXPECTED = ("reconstructions", "samples", "traversals")


@dataclass(frozen=True)
class _View:
    """One run as the template shows it."""

    label: str
    description: str
    facts: list[tuple[str, str]]
    findings: list[Finding]
    group_charts: list[charts.Chart]
    group_words: str
    bars: list[Bars]
    maps: list[maps.Map]
    map_words: list[str]


@dataclass(frozen=True)
class _Kind:
    """Pictures of one name, of all runs that have it."""

    title: str
    words: Markup
    pictures: list[tuple[str, Picture]]


def write_report(directories: Sequence[RunDirectory], target: Path, docs: str = "") -> Path:
    """Write the page of one run, or of several side by side.

    Args:
        directories: of the runs.
        target: the file.
        docs: address of the built documentation, to which components are linked.

    Raises:
        RunError: a run's files are damaged, or the target cannot be written.
        ConfigError: a run is named twice, or `docs` is no address.
    """
    write_text(target, page(directories, docs))
    return target


def page(directories: Sequence[RunDirectory], docs: str = "") -> str:
    """The page as text; see `write_report`."""
    places = [directory.path.resolve() for directory in directories]
    for directory, place in zip(directories, places, strict=True):
        if places.count(place) > 1:
            raise ConfigError(f"{directory.path} is named twice; name it once")
    if docs and not re.match(r"^(https?://|file://|\.{0,2}/|[\w.-]+(/|$))", docs):
        raise ConfigError(f"--docs {docs}: give an address such as https://example.org/vaelab, or a folder")
    runs = collect(directories)
    views = [_view(run, number) for number, run in enumerate(runs)]
    terms = charts.term_charts({run.label: run.history for run in runs})
    style, script = base_style() + source("vaelab.report", "report.css"), source("vaelab.report", "report.js")
    every = [*terms, *(chart for view in views for chart in view.group_charts)]
    return template("vaelab.report", "report.html.jinja").render(
        title=" and ".join(run.label for run in runs) if len(runs) < 4 else f"{len(runs)} runs",
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        version=version(),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        sections=_SECTIONS if len(runs) == 1 else (("runs", "Runs"), *_SECTIONS),
        runs=views,
        comparison=_comparison(runs),
        tables=tables(runs),
        charts=terms,
        frame=_FRAME,
        picture_kinds=_kinds(runs),
        missing_pictures=[text for run in runs for text in _missing(run, several=len(runs) > 1)],
        map_side=maps.SIDE,
        settings=settings(runs),
        parts=parts(runs, docs),
        provenance=_provenance(runs),
        payload={
            "frame": _FRAME,
            "mapSide": maps.SIDE,
            "charts": {chart.key: chart.data for chart in every},
            "maps": {found.key: found.data for view in views for found in view.maps},
        },
    )


_SECTIONS = (
    ("findings", "Health"),
    ("evaluation", "Evaluation"),
    ("curves", "Training"),
    ("pictures", "Pictures"),
    ("map", "Latent map"),
    ("configuration", "Configuration"),
    ("provenance", "Provenance"),
)
_FRAME = {
    "width": charts.WIDTH,
    "height": charts.HEIGHT,
    "left": charts.LEFT,
    "right": charts.RIGHT,
    "top": charts.TOP,
    "bottom": charts.BOTTOM,
}


def _view(run: RunContent, number: int) -> _View:
    validations = [line for line in run.history if line.get("split") == "validation"]
    lines, where = (run.probes, "a few data") if run.probes else (validations, "the validation data")
    found, words = maps.maps(run, f"map-{number}")
    shown = [bar for bar in (group_bars(run), _unit_bars(lines)) if bar is not None]
    return _View(
        run.label,
        str(run.config.get("description", "")),
        _facts(run),
        run.findings,
        charts.group_charts(lines, f"group-{number}"),
        f"Rates are in nats a datum, measured on {where} while the model trained.",
        shown,
        found,
        words,
    )


def _unit_bars(lines: Sequence[dict[str, Any]]) -> Bars | None:
    reports = unit_reports(lines)
    several = len({report.group for report in reports}) > 1
    ranked = sorted(reports, key=lambda report: -report.rate)
    return bars(
        "Rate of each latent unit, largest first",
        [(f"unit {f'{r.group}.' if several else ''}{r.unit}", r.rate, r.fate) for r in ranked],
    )


def _facts(run: RunContent) -> list[tuple[str, str]]:
    manifest, model = run.manifest, run.config.get("model", {})
    data = manifest.get("data") or {}
    sizes = data.get("sizes") or {}
    facts = [
        ("status", str(manifest.get("status", "unknown"))),
        ("data", " ".join(str(data[key]) for key in ("source", "binarisation") if data.get(key))),
        ("training data", f"{sizes['train']:,}" if isinstance(sizes.get("train"), int) else ""),
        ("prior", _kind(model.get("prior"))),
        ("posterior", _kind(model.get("posterior"))),
        ("likelihood", _kind(model.get("likelihood"))),
        ("objective", _kind(run.config.get("objective"))),
        ("parameters", _count(manifest.get("parameters"))),
        ("steps", _count(manifest.get("weights_of_step"))),
        ("wall time", _duration(manifest.get("wall_seconds"))),
        ("seed", str(run.config.get("seed", ""))),
        ("run", run.directory.path.resolve().name),
    ]
    return [(name, text) for name, text in facts if text]


def _kind(config: Any) -> str:
    return str(config.get("kind", "")) if isinstance(config, dict) else ""


def _count(number: Any) -> str:
    return f"{number:,}" if isinstance(number, int) else ""


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _comparison(runs: Sequence[RunContent]) -> dict[str, Any] | None:
    if len(runs) < 2:
        return None
    try:
        comparison = compare([run.directory.path for run in runs])
    except VaelabError as error:
        return {"refused": str(error)}
    return {"refused": "", "head": comparison.head(), "rows": comparison.rows(), "note": comparison.note}


def _kinds(runs: Sequence[RunContent]) -> list[_Kind]:
    names: dict[str, list[tuple[str, Picture]]] = {}
    for run in runs:
        for picture in run.pictures:
            names.setdefault(picture.name, []).append((run.label, picture))
    return [_Kind(found[0][1].title, marked_up(found[0][1].words), found) for found in names.values()]


def _missing(run: RunContent, *, several: bool) -> list[str]:
    asked = {_kind(figure) for figure in (run.config.get("evaluation") or {}).get("figures") or ()}
    drawn = {picture.kind for picture in run.pictures}
    whose = f"{run.label}: " if several else ""
    texts = []
    for kind in _EXPECTED:
        if kind not in drawn:
            why = "this model or these data have none to show" if kind in asked else "the experiment asks for none"
            texts.append(f"{whose}No {kind}: {why if run.manifest.get('status') == 'finished' else 'not drawn yet'}.")
    return texts


def _provenance(runs: Sequence[RunContent]) -> list[tuple[str, list[str | None]]]:
    columns = [{path: _written(value) for path, value in leaves(run.manifest)} for run in runs]
    for run, column in zip(runs, columns, strict=True):
        column["directory"] = str(run.directory.path)
    names = dict.fromkeys(name for column in columns for name in column)
    return [(name, [column.get(name) for column in columns]) for name in names]


def _written(value: Any) -> str | None:
    return None if value is None else value if isinstance(value, str) else str(value)
