"""What a run's directory holds, read for the report."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaelab.config import Experiment, parse_experiment
from vaelab.errors import RunError, VaelabError
from vaelab.health import Finding, diagnose
from vaelab.reading import read_json
from vaelab.registry import FIGURES
from vaelab.runs import RunDirectory

#: Shown by the report itself, with values that can be read off.
_OWN = ("curves", "latents")


@dataclass(frozen=True)
class Picture:
    """A figure of the run.

    Attributes:
        name: of the file, without its ending.
        title: in words.
        kind: of the figure, where it is one that is registered.
        words: what it shows, a line of its docstring.
        data: the file as a data URI.
    """

    name: str
    title: str
    kind: str | None
    words: str
    data: str


@dataclass(frozen=True)
class RunContent:
    """A run, read from its directory; anything may be missing but the config.

    Attributes:
        label: a name for it that the other runs of the page do not have.
        directory: of the run.
        config: as JSON.
        experiment: the config validated, or None where that failed, as where a plugin is not installed.
        manifest: as JSON.
        evaluations: the content of evaluation.json, by split.
        history: the lines of metrics.jsonl.
        probes: the rates of groups and units while it trained.
        findings: the worst first.
        pictures: its figures.
        latent_map: places of data among the latents, or None.
    """

    label: str
    directory: RunDirectory
    config: dict[str, Any]
    experiment: Experiment | None
    manifest: dict[str, Any]
    evaluations: dict[str, dict[str, Any]]
    history: list[dict[str, Any]]
    probes: list[dict[str, Any]]
    findings: list[Finding]
    pictures: list[Picture]
    latent_map: dict[str, Any] | None


def collect(directories: Sequence[RunDirectory]) -> list[RunContent]:
    """Read runs.

    Raises:
        RunError: a file is damaged.
    """
    configs = [_object(directory.config) for directory in directories]
    names = [str(config.get("name", "run")) for config in configs]
    labels = [
        name if names.count(name) == 1 else f"{name} {directory.path.resolve().name}"
        for name, directory in zip(names, directories, strict=True)
    ]
    return [_read(*run) for run in zip(labels, directories, configs, strict=True)]


def _read(label: str, directory: RunDirectory, config: dict[str, Any]) -> RunContent:
    try:
        experiment = parse_experiment(config, str(directory.config))
    except VaelabError:
        experiment = None
    evaluations = {split: directory.read_evaluation(split) for split in ("test", "validation", "train")}
    has_map = directory.latent_map.exists()
    return RunContent(
        label,
        directory,
        config,
        experiment,
        directory.read_manifest(),
        {split: content for split, content in evaluations.items() if content is not None},
        directory.history(),
        [line for line in directory.health_lines() if line.get("split") == "probe"],
        diagnose(directory),
        _pictures(directory.figures, latents_too=not has_map),
        _object(directory.latent_map) if has_map else None,
    )


def _object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise RunError(f"{path}: not a JSON object")
    return content


def _pictures(folder: Path, *, latents_too: bool) -> list[Picture]:
    left_out = _OWN[:1] if latents_too else _OWN
    found = []
    for path in sorted(folder.glob("*.png")) if folder.is_dir() else ():
        kinds = [entry for entry in FIGURES if path.stem == entry.kind or path.stem.startswith(f"{entry.kind}_")]
        entry = max(kinds, key=lambda entry: len(entry.kind), default=None)
        if path.stem.startswith(left_out):
            continue
        data = base64.b64encode(path.read_bytes()).decode()
        title = path.stem.replace("_", " ").capitalize()
        words = entry.summary if entry else ""
        found.append(Picture(path.stem, title, entry.kind if entry else None, words, f"data:image/png;base64,{data}"))
    first = ("reconstructions", "samples", "traversals")
    return sorted(found, key=lambda picture: first.index(picture.kind) if picture.kind in first else len(first))
