"""Stored studies say of their runs what the runs say."""

from __future__ import annotations

import json
import re
import runpy
from contextlib import chdir
from pathlib import Path

import pytest

from docs.blocks import ROOT
from vaelab.comparison import compare
from vaelab.config import load_experiment

DOCS = ROOT / "docs"
STUDIES = sorted(path.parent for path in (DOCS / "results" / "studies").glob("*/comparison.json"))
EACH = pytest.mark.parametrize("folder", STUDIES, ids=lambda path: path.name)


def runs_of(folder: Path) -> list[Path]:
    return sorted(path.parent.relative_to(folder) for path in folder.glob("*/seed-*/manifest.json"))


@EACH
def test_the_comparison_is_that_of_the_stored_runs(folder: Path):
    stored = json.loads((folder / "comparison.json").read_text())
    runs = [run for configuration in stored["runs"] for run in configuration]
    assert sorted(map(Path, runs)) == runs_of(folder)
    with chdir(folder):
        again = json.loads(json.dumps(compare(runs, metrics=stored["metrics"]).to_json()))
    assert again == stored
    assert set(json.loads((folder / "study.json").read_text())["values"]) <= set(stored["metrics"])


@EACH
def test_runs_are_whole_and_tell_of_no_machine(folder: Path):
    assert runs_of(folder)
    for run in (folder / path for path in runs_of(folder)):
        manifest = json.loads((run / "manifest.json").read_text())
        assert manifest["status"] == "finished"
        assert load_experiment(run / "config.json").seed == manifest["seed"] == int(run.name.removeprefix("seed-"))
        assert (run / "metrics.jsonl").stat().st_size
        assert not re.search(r'"(/|\w:\\)', (run / "manifest.json").read_text())


@EACH
def test_page_shows_the_study(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(DOCS))
    page = runpy.run_path(str(DOCS / "studies.py"))["studies_page"](DOCS / "results" / "studies")
    study, comparison = (json.loads((folder / f"{name}.json").read_text()) for name in ("study", "comparison"))
    assert f"## {study['title']}" in page
    assert (folder / "about.md").read_text().strip() in page
    assert set(study["values"]) <= set(comparison["cells"])
    for name in comparison["configurations"]:
        for figure in study["figures"]:
            (picture,) = folder.glob(f"{name}/seed-*/figures/{figure}.png")
            assert picture.relative_to(DOCS).as_posix() in page
