"""The pages that are made when the documentation is built."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter

from core.experiments import content
from docs.blocks import DOCS, ROOT
from vaelab.catalogue import docstring
from vaelab.config import Experiment
from vaelab.registry import FAMILIES, ComponentConfig
from vaelab.reproduce import Figure, Paper
from vaelab.types import StepContext

pytest.importorskip("latex2mathml", reason="the documentation's extra is not installed")


@pytest.fixture(scope="module")
def pages() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "gen_pages.py"), run_name="gen_pages")


@pytest.fixture(scope="module")
def hooks() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "hooks.py"), run_name="hooks")


@pytest.mark.parametrize("family", FAMILIES)
def test_page_of_a_family_shows_every_kind_with_its_keys(family: str, pages: dict[str, Any]):
    text = pages["component_page"](FAMILIES[family])
    for entry in FAMILIES[family]:
        part = text.partition(f"## `{entry.kind}`")[2].partition("\n## ")[0]
        assert entry.module in part
        for name in entry.config.model_fields:
            assert name == "kind" or f"| `{name}` |" in part
        shown = json.loads(part.partition("```json\n")[2].partition("```")[0])
        slot = TypeAdapter(Annotated[ComponentConfig, FAMILIES[family]])
        assert slot.validate_python(shown) == entry.config.example()


def test_every_section_of_the_experiment_has_its_table(hooks: dict[str, Any]):
    source = (DOCS / "configuration.md").read_text()
    text = hooks["on_page_markdown"](source)
    assert "<!-- fields" not in text
    for name, section in hooks["SECTIONS"].items():
        assert f"<!-- fields: {name} -->" in source
        for key in section.model_fields:
            assert key == "schema_url" or f"| `{key}` |" in text, f"{name}.{key}"


def test_a_bar_in_a_description_does_not_end_its_cell(hooks: dict[str, Any]):
    argument = hooks["Argument"]("x", "a | b", "", r"Of q(z | x), or $q(z \mid x)$.")
    assert (
        hooks["field_table"]([argument]).splitlines()[-1] == r"| `x` | `a | b` |  | Of q(z \| x), or $q(z \mid x)$. |"
    )


def test_formulas_become_mathml(hooks: dict[str, Any]):
    page = r'<p>a <span class="arithmatex">\(q(z \mid x) &lt; \mathrm{KL}\)</span> b</p>'
    page += '<div class="arithmatex">\\[\n\\tfrac12\n\\]</div>'
    made = hooks["on_page_content"](page)
    assert made.count("<math") == 2
    assert 'display="block"' in made
    assert "<mi>KL</mi>" in made
    assert "arithmatex" not in made
    with pytest.raises(ValueError, match="nosuchcommand"):
        hooks["mathml"](r"\nosuchcommand x", block=False)


@pytest.mark.parametrize("entry", FAMILIES["schedule"], ids=lambda entry: entry.kind)
def test_a_schedule_shows_its_curve(entry: Any, pages: dict[str, Any]):
    text = pages["component"]("schedule", entry)
    points = re.search(r'points="([^"]+)"', text)
    assert points
    heights = [float(point.partition(",")[2]) for point in points[1].split()]
    assert len(heights) == 201
    # down is up in a picture: where the value falls, the line does
    schedule = entry.component(entry.config())
    first, last = (schedule(StepContext(step, 10, 200)) for step in (0, 200))
    assert (last < first) == (heights[-1] > heights[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_formulas_of_a_family_become_mathml(family: str, hooks: dict[str, Any]):
    for entry in FAMILIES[family]:
        text = re.sub(r"``?[^`]*``?", "", docstring(entry))
        for block, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$]+)\$", text, re.S):
            assert "<math" in hooks["mathml"](block or inline, block=bool(block)), (entry.kind, block or inline)


def test_nav_holds_each_family(hooks: dict[str, Any]):
    config = {"nav": [{"Home": "index.md"}, {"Reference": [{"Components": []}]}]}
    entries = hooks["on_config"](config)["nav"][1]["Reference"][0]["Components"]
    assert [path for entry in entries for path in entry.values()] == [
        "components/index.md",
        *(f"components/{family}.md" for family in FAMILIES),
    ]


def _run_directory(folder: Path, nll: float, **changes: Any) -> None:
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "samples.png").write_bytes(b"")
    values = {"nll_is128": {"value": nll, "stderr": 0.25, "unit": "nats", "better": "lower"}}
    values["broken"] = {"value": None, "stderr": None, "unit": "", "better": None}
    contents = {
        "config": json.loads(
            Experiment.model_validate(content(name=folder.name, description="What it is.", **changes)).to_json()
        ),
        "manifest": {
            "parameters": 1234,
            "seed": 7,
            "wall_seconds": 90.0,
            "device": "cpu",
            "versions": {"vaelab": "0.1.0", "torch": "2.8"},
            "git": None,
        },
        "evaluation": {
            "split": "test",
            "number": 1000,
            "values": values,
            "metrics": [{"kind": "importance_nll", "samples": 128}],
            "data": {"source": "mnist", "binarisation": "dynamic"},
        },
    }
    for name, written in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(written))
    (folder / "metrics.jsonl").write_text('{"split": "train", "step": 9, "epoch": 2, "loss": 88.5, "lr": 0.1}\n')


def test_results_page(pages: dict[str, Any], tmp_path: Path):
    assert "No run is stored" in pages["results_page"](tmp_path / "missing")
    _run_directory(tmp_path / "baseline", 98.765)
    alone = pages["results_page"](tmp_path)
    assert "## The notebook and the baseline" not in alone
    for text in (
        "| `nll_is128` | 98.77 ± 0.25 nats |",
        "| `broken` | not finite |",
        "`mnist`, binarisation `dynamic`",
        "`importance_nll` 128",
        "seed 7",
        "1.5 minutes on cpu",
        "`loss` 88.50",
        "results/baseline/figures/samples.png",
        "results/baseline/config.json",
    ):
        assert text in alone, text
    _run_directory(tmp_path / "notebook", 200.0)
    both = pages["results_page"](tmp_path)
    assert "| `nll_is128` | 200.00 ± 0.25 nats | 98.77 ± 0.25 nats |" in both


@pytest.mark.slow
def test_the_documentation_builds(tmp_path: Path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in ("index.html", "components/prior/index.html", "results/index.html", "reference/index.html"):
        assert (tmp_path / "site" / page).is_file()
    assert "<math" in (tmp_path / "site" / "components" / "prior" / "index.html").read_text()


def test_papers_and_leaderboard_pages(tmp_path: Path):
    pages = runpy.run_path(str(ROOT / "docs" / "papers.py"))
    figure = Figure(
        what="a model", where="table 1", value="nll_is128", published=98.5, within=0.5, departs=("shorter",)
    )
    folder = tmp_path / "experiments" / "somebody-2000"
    folder.mkdir(parents=True)
    paper = Paper(title="Somebody (2000)", source="https://example.org", figures={"one": figure}, folder=folder)
    results = tmp_path / "results"
    assert "| a model `nll_is128` | 98.50 |  |  | 0.5 | not run |  |" in pages["papers_page"]([paper], results)
    runs = {"papers/somebody-2000/one": 98.765, "other": 97.0, "studies/s/two/seed-1": 99.0}
    for place, nll in runs.items():
        _run_directory(results / place, nll, data={"kind": "mnist"})
    _run_directory(results / "holes", 30.0, data={"kind": "incomplete", "data": {"kind": "mnist"}})
    for name in ("one", "two"):
        (folder / f"{name}.json").write_text(
            json.dumps(content(name=name, description="Another.", data={"kind": "mnist"}))
        )
    page = pages["papers_page"]([paper], results)
    assert "| a model `nll_is128` | 98.50 | 98.77 ± 0.25 | +0.27 | 0.5 | yes | 2 |" in page
    assert "- `one`: shorter." in page
    assert "- `one`: `description`." in page.partition("of earlier versions")[2]
    unpublished = paper.model_copy(update={"figures": {"one": figure.model_copy(update={"published": None})}})
    assert "| a model `nll_is128` |  | 98.77 ± 0.25 |  |  |  | 2 |" in pages["papers_page"]([unpublished], results)
    second = results / "studies/s/two/seed-2"
    _run_directory(second, 98.0, data={"kind": "mnist"})
    seeds = paper.model_copy(update={"figures": {"two": figure.model_copy(update={"seeds": 2})}})
    assert "| a model `nll_is128` | 98.50 | 98.50 ± 0.50 | +0.00 | 0.5 | yes | 3 |" in pages["papers_page"](
        [seeds], results
    )
    three = paper.model_copy(update={"figures": {"two": figure.model_copy(update={"seeds": 3})}})
    assert "| not run |" in pages["papers_page"]([three], results)
    shutil.rmtree(second)
    board = pages["leaderboard_page"](results)
    assert "## mnist, dynamic binarisation" in board
    assert "30.00" not in board, "a likelihood of the observed pixels alone"
    assert [board.index(f"| {nll:.2f} ±") for nll in sorted(runs.values())] == sorted(
        board.index(f"| {nll:.2f} ±") for nll in runs.values()
    )
    assert "(results/papers/somebody-2000/one/config.json)" in board
