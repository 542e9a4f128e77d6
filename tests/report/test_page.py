"""The page of real runs: it loads nothing, escapes everything, and can be read without eyes or pointer."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import vaelab
from report.conftest import HOSTILE
from vaelab.errors import ConfigError
from vaelab.report import report
from vaelab.report.charts import term_charts
from vaelab.report.page import page
from vaelab.runs import RunDirectory

VOID = {"meta", "link", "img", "br", "wbr", "input", "hr"}
CSS = Path(vaelab.__file__).parent / "pages" / "base.css"


class Page(HTMLParser):
    """Elements with their attributes, text and path."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[dict[str, Any]] = []
        self.open: list[dict[str, Any]] = []
        self.feed(text)
        assert not self.open, f"not closed: {[element['tag'] for element in self.open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        parents = [element["tag"] for element in self.open]
        element = {"tag": tag, "text": "", "attrs": dict(attrs), "parents": parents, "inside": []}
        for parent in self.open:
            parent["inside"].append(tag)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop()["tag"] == tag, tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element["text"] += data

    def all(self, *tags: str) -> list[dict[str, Any]]:
        return [element for element in self.elements if element["tag"] in tags]


@pytest.fixture(scope="module")
def text(runs: list[vaelab.Run]) -> str:
    return (runs[0].path / "report.html").read_text()


@pytest.fixture(scope="module")
def both(runs: list[vaelab.Run]) -> str:
    return page([run.directory for run in runs])


def test_a_run_ends_with_its_page(runs: list[vaelab.Run], text: str):
    assert runs[0].directory.read_manifest()["status"] in text
    content = Page(text)
    titles = [element["text"] for element in content.all("h2")]
    assert titles == ["Health", "Evaluation", "Training", "Pictures", "Latent map", "Configuration", "Provenance"]
    shown = [element["text"].split()[0] for element in content.all("figcaption")]
    for term in ("loss", "distortion", "kl", "negative_elbo", "rate", "learning"):
        assert term in shown, shown
    value = runs[0].evaluation["values"]["negative_elbo"]
    cells = re.findall(r"<code>negative_<wbr>elbo</code>.*?<td class=\"number\">([\d.]+) ± ([\d.]+)", text)
    assert [float(number) for number in cells[0]] == pytest.approx([value["value"], value["stderr"]], rel=0.1)
    assert runs[0].directory.read_manifest()["config_sha256"] in text
    images = content.all("img")
    assert len(images) == 2
    for image in images:
        assert image["attrs"]["src"].startswith("data:image/png;base64,")
        assert base64.b64decode(image["attrs"]["src"].split(",")[1]).startswith(b"\x89PNG")
        assert len(image["attrs"]["alt"]) > 20
    circles = [element for element in content.all("circle") if element["attrs"]["class"].startswith("datum")]
    assert len(circles) == 24


def test_configuration_is_explained_and_leads_to_the_components(text: str):
    content = Page(text)
    ids = {element["attrs"].get("id") for element in content.elements}
    links = [element["attrs"]["href"] for element in content.all("a")]
    assert "#part-prior-standard_normal" in links
    assert all(link[1:] in ids for link in links if link.startswith("#"))
    assert "Of the weights, the order of the data and every draw." in text
    assert "<math" in text, "formulas of docstrings"


def test_nothing_hostile_comes_through(text: str, both: str):
    for found in (text, both):
        content = Page(found)
        assert len(content.all("script")) == 2
        assert len(content.all("style")) == 1
        assert not [element for element in content.elements if any(name.startswith("on") for name in element["attrs"])]
        assert {element["attrs"]["src"][:11] for element in content.all("img")} == {"data:image/"}
        assert "alert(1)" in "".join(element["text"] for element in content.all("p")), "shown as text"
        assert "{{ 7 * 7 }}" in found, "no template in a template"
        payload = next(e["text"] for e in content.all("script") if e["attrs"].get("type") == "application/json")
        assert "<" not in payload
        json.loads(payload)


def test_hostile_files_of_a_run_come_through_as_text(tmp_path: Path):
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    run.config.write_text(json.dumps({"name": HOSTILE, "description": HOSTILE, HOSTILE: {HOSTILE: HOSTILE}}))
    run.update_manifest(status=HOSTILE, error=HOSTILE, data={"source": HOSTILE}, **{HOSTILE: HOSTILE})
    line = {"split": "train", "step": 1, "epoch": 0.1, "loss": 1.0, HOSTILE: 2.0, "lr": 0.1}
    other = {"split": HOSTILE, "step": 2, "epoch": 0.2, HOSTILE: 3.0}
    run.metrics.write_text(json.dumps(line) + "\n" + json.dumps(other) + "\n")
    value = {"value": 1.0, "stderr": 0.1, "unit": HOSTILE, "better": None}
    evaluation = {"split": "test", "number": 3, "seed": 0, "batch_size": 1, "data": {}, "metrics": []}
    run.evaluation.write_text(json.dumps({**evaluation, "values": {HOSTILE: value}}))
    group = {"group": 0, "size": 3, "shares": [0.5, 0.2], "pca": [[0, 0], [1, 1]], "tsne": [[0, 1], [1, 0]]}
    content = {"format": 1, "number": 2, "depth": 1, "labels": [0, 1], "groups": [group], "texts": [HOSTILE, "a"]}
    run.latent_map.write_text(json.dumps(content))
    run.figures.mkdir()
    (run.figures / "samples_x'><script>.png").write_bytes(b"\x89PNG no picture")
    found = Page(page([run]))
    assert len(found.all("script")) == 2
    assert len(found.all("img")) == 1
    assert not [element for element in found.elements if any(name.startswith("on") for name in element["attrs"])]
    assert found.all("h1")[0]["text"] == HOSTILE


def test_the_policy_allows_the_two_blocks_of_the_page_and_no_network(text: str):
    content = Page(text)
    [meta] = [element for element in content.all("meta") if element["attrs"].get("http-equiv")]
    policy = dict(part.strip().split(" ", 1) for part in meta["attrs"]["content"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "data:"
    assert "unsafe" not in meta["attrs"]["content"]
    script = [element for element in content.all("script") if "type" not in element["attrs"]]
    for directive, blocks in (("style-src", content.all("style")), ("script-src", script)):
        [block] = blocks
        digest = base64.b64encode(hashlib.sha256(block["text"].encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert not [element for element in content.elements if "style" in element["attrs"]], "the policy refuses these"
    loads = [e["attrs"].get(key) for e in content.elements for key in ("src", "srcset", "data", "poster")]
    loads += [e["attrs"].get("href") for e in content.all("link", "image", "use")]
    assert all(load.startswith("data:") for load in loads if load)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|import)\s*\(", text)


@pytest.mark.parametrize("which", ["text", "both"])
def test_it_can_be_read_without_eyes_or_pointer(which: str, request: pytest.FixtureRequest):
    content = Page(request.getfixturevalue(which))
    [html] = content.all("html")
    assert html["attrs"]["lang"] == "en"
    for landmark in ("header", "nav", "main", "footer"):
        assert len(content.all(landmark)) == 1
    assert len(content.all("h1")) == 1
    levels = [int(element["tag"][1]) for element in content.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert all(after - before <= 1 for before, after in pairwise(levels)), levels
    ids = [element["attrs"]["id"] for element in content.elements if "id" in element["attrs"]]
    assert len(ids) == len(set(ids))
    for element in content.elements:
        attrs = element["attrs"]
        for reference in ("aria-labelledby", "aria-describedby"):
            assert attrs.get(reference, ids[0]) in ids
        if attrs.get("tabindex") == "0":
            assert attrs.get("aria-label"), element["tag"]
            assert attrs.get("role") in ("region", "slider", "application")
    for table in content.all("table"):
        assert table["inside"][0] == "caption"
    assert all(element["attrs"].get("scope") in ("col", "row") for element in content.all("th"))
    assert all(element["text"].strip() for element in content.all("button", "summary", "a", "caption", "th"))
    for svg in content.all("svg"):
        assert svg["attrs"].get("aria-hidden") == "true" or svg["attrs"].get("aria-label")
    sliders = [element for element in content.elements if element["attrs"].get("role") == "slider"]
    assert all(int(s["attrs"]["aria-valuenow"]) <= int(s["attrs"]["aria-valuemax"]) for s in sliders)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrasts_meet_wcag_aa(scheme: int):
    blocks = re.findall(r":root \{(.*?)\}", CSS.read_text(), re.DOTALL)
    colours = dict(re.findall(r"--([\w]+): (#[0-9a-f]{6})", blocks[scheme]))
    for ground in ("page", "card", "mark"):
        for ink in ("text", "link", *(() if ground == "mark" else ("soft", "problem", "warning", "note"))):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for ink in ("focus", *(f"c{i}" for i in range(10))):
        assert contrast(colours[ink], colours["card"]) >= 3, ink


def test_several_runs_stand_side_by_side(runs: list[vaelab.Run], both: str, tmp_path: Path):
    content = Page(both)
    assert content.all("h1")[0]["text"] == "tiny and other"
    heads = [element["text"] for element in content.all("th") if element["attrs"]["scope"] == "col"]
    assert heads.count("tiny") == heads.count("other") >= 4
    names = [element["text"] for element in content.all("button")]
    assert "tiny, train" in names
    assert "other, train" in names
    rows = re.findall(r'<tr class="differs">(.*?)</tr>', both, re.DOTALL)
    paths = [re.search(r'class="path">(.*?)<', row)[1] for row in rows]
    assert paths == ["name", "model.prior.dim"]
    written = report([run.path for run in runs], tmp_path / "both.html", docs="https://example.org/docs")
    links = [element["attrs"]["href"] for element in Page(written.read_text()).all("a")]
    assert "https://example.org/docs/components/prior/#standard_normal" in links
    with pytest.raises(ConfigError, match="named twice"):
        report([runs[0].path, runs[0].path], tmp_path / "x.html")
    with pytest.raises(ConfigError, match="--docs"):
        report([runs[0].path], tmp_path / "x.html", docs="javascript:alert(1)")


def test_runs_of_different_data_are_told_apart(runs: list[vaelab.Run], tmp_path: Path):
    changed = RunDirectory(tmp_path / "changed")
    changed.path.mkdir()
    for name in ("config.json", "manifest.json", "metrics.jsonl", "evaluation.json"):
        (changed.path / name).write_text((runs[0].path / name).read_text())
    evaluation = json.loads(changed.evaluation.read_text())
    evaluation["data"]["binarisation"] = "dynamic"
    changed.evaluation.write_text(json.dumps(evaluation))
    text = page([runs[0].directory, changed])
    assert "These runs do not compare." in text
    assert "the binarisation is" in text


def test_a_run_that_has_nothing_yet_has_a_page(tmp_path: Path):
    run = RunDirectory(tmp_path)
    run.config.write_text('{"name": "new", "model": {"prior": {"kind": "of a plugin that is not here"}}}')
    content = Page(page([run]))
    words = " ".join(element["text"] for element in content.all("p"))
    for said in ("There is no history", "was not evaluated", "No figures were drawn", "No map was made"):
        assert said in words


def test_runs_that_fail_have_a_page_that_says_so(runs: list[vaelab.Run], tmp_path: Path):
    from vaelab.errors import NonFiniteError

    content = runs[0].experiment.model_dump(mode="json")
    content["training"] |= {"optimiser": {"kind": "sgd", "lr": 1e30}, "epochs": 1}
    with pytest.raises(NonFiniteError):
        vaelab.train(content, tmp_path, device="cpu")
    [path] = tmp_path.glob("tiny/*/report.html")
    assert "The run failed" in path.read_text()
    quiet = {**content, "name": "quiet", "training": {"steps": 1}, "evaluation": {"report": False, "figures": []}}
    run = vaelab.train({**quiet, "evaluation": {**quiet["evaluation"], "metrics": ["negative_elbo"]}}, tmp_path)
    assert not run.directory.report.exists()
    assert not run.directory.latent_map.exists()


def test_counts_of_steps_are_charted_as_steps_and_terms_as_nats():
    lines = [{"split": "train", "step": step, "loss": 9.0, "skipped": 2, "nonfinite": 1} for step in (5, 10)]
    lines.append({"split": "validation", "step": 10, "negative_elbo": 9.0, "active_units_0.01": 3.0})
    units = {chart.title: chart.unit for chart in term_charts({"run": lines})}
    assert units == {
        "loss": "nats",
        "negative_elbo": "nats",
        "skipped": "steps",
        "nonfinite": "steps",
        "active_units_0.01": "",
    }
