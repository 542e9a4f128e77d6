"""The page of studies, made of what `add_study.py` stored.

A study is a folder below docs/results/studies. `about.md` says what was asked and what came out; `study.json` has a `title`, the
`values` of the table by name with a word for each, and the `figures` that are shown of every configuration's first seed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from papers import minutes

from vaelab.evaluation.tables import written
from vaelab.metrics import Value

_INTRODUCTION = """# Studies

Each study puts finished runs side by side, as `python -m vaelab compare` does: means ± standard deviations over seeds, and
a mark only where the interval of every difference excludes 0. Configs, seeds, curves and values of all runs are
below `docs/results/studies/`."""


def studies_page(folder: Path) -> str:
    """All studies below `folder`."""
    studies = [_study(path.parent) for path in sorted(folder.glob("*/comparison.json"))]
    return "\n\n".join([_INTRODUCTION, *studies]) + "\n"


def _study(folder: Path) -> str:
    study, comparison = (json.loads((folder / f"{name}.json").read_text()) for name in ("study", "comparison"))
    parts = [
        f"## {study['title']}",
        (folder / "about.md").read_text().strip(),
        _table(study, comparison),
        comparison["note"],
    ]
    parts += [_udr(folder)] if (folder / "udr.json").exists() else []
    parts += [_differences(study, comparison), _costs(folder, comparison)]
    for name in comparison["configurations"]:
        pictures = [
            f"![{figure} of {name}](results/studies/{folder.name}/{path.relative_to(folder).as_posix()}){{ .figure loading=lazy }}"
            for figure in study["figures"]
            for path in sorted(folder.glob(f"{name}/*/figures/{figure}.png"))
        ]
        parts += [f"### {name}", *pictures]
    return "\n\n".join(parts)


def _table(study: dict[str, Any], comparison: dict[str, Any]) -> str:
    """A row a value and a column a configuration: values are many."""
    arrows = {"lower": " ↓", "higher": " ↑", None: ""}
    lines = ["| value | " + " | ".join(comparison["configurations"]) + " |"]
    lines.append("| --- |" + " ---: |" * len(comparison["configurations"]))
    for name, words in study["values"].items():
        cells = [
            _cell(cell, best=comparison["best"].get(name) == i)
            for i, cell in enumerate(comparison["cells"].get(name, [None] * len(comparison["configurations"])))
        ]
        lines.append(f"| {words}{arrows[comparison['better'].get(name)]} `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(cell: dict[str, Any] | None, *, best: bool) -> str:
    if cell is None:
        return ""
    spread = cell["stderr"] if cell["deviation"] is None else cell["deviation"]
    text = written(Value(cell["mean"], spread))
    return f"**{text}** *" if best else text


def _differences(study: dict[str, Any], comparison: dict[str, Any]) -> str:
    lines = []
    for name, words in study["values"].items():
        for title, difference in zip(
            comparison["configurations"], comparison["differences"].get(name, ()), strict=False
        ):
            if difference is not None:
                interval = (
                    "no interval"
                    if difference["low"] is None
                    else f"[{difference['low']:.3g}, {difference['high']:.3g}]"
                )
                lines.append(f"| {words} | {title} | {difference['value']:.3g} | {interval} |")
    head = "| value | configuration | less the best mean | 95 % interval |\n| --- | --- | ---: | ---: |\n"
    return '??? note "All differences with their intervals"\n\n' + "\n".join(
        f"    {line}" for line in (head + "\n".join(lines)).splitlines()
    )


def _udr(folder: Path) -> str:
    scores = json.loads((folder / "udr.json").read_text())
    rows = [
        f"| {name} | {sum(values.values()) / len(values):.3f} | {', '.join(f'{v:.3f}' for v in values.values())} |"
        for name, values in scores.items()
    ]
    return "UDR, which sees no factors:\n\n| configuration | mean | each seed |\n| --- | ---: | --- |\n" + "\n".join(
        rows
    )


def _costs(folder: Path, comparison: dict[str, Any]) -> str:
    lines = [
        "| configuration | config | parameters | seeds | minutes of a core a run, with evaluation; of the clock in older runs |",
        "| --- | --- | ---: | --- | ---: |",
    ]
    for name in comparison["configurations"]:
        manifests = [json.loads(path.read_text()) for path in sorted(folder.glob(f"{name}/*/manifest.json"))]
        mean = sum(map(minutes, manifests)) / len(manifests)
        seeds = ", ".join(str(manifest["seed"]) for manifest in manifests)
        link = f"[config](results/studies/{folder.name}/{name}/seed-{manifests[0]['seed']}/config.json)"
        lines.append(f"| {name} | {link} | {manifests[0]['parameters']:,} | {seeds} | {mean:.1f} |")
    return "\n".join(lines)
