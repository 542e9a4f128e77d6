"""The model zoo: its groups, its stored runs, and the scripts that make them."""

from __future__ import annotations

import json
import re
import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import vaelab
from docs.blocks import DOCS, ROOT
from vaelab.config import parse_experiment
from vaelab.registry import FAMILIES

pytest.importorskip("latex2mathml", reason="the documentation's extra is not installed")

STORED = sorted(path.parent for path in (DOCS / "gallery").glob("*/manifest.json"))
DIGITS: dict[str, Any] = {
    "name": "tiny",
    "data": {"kind": "digits", "binarisation": "dynamic", "train_limit": 64, "test_limit": 32},
    "model": {
        "encoder": {"kind": "mlp", "hidden": [8]},
        "posterior": "diagonal_normal",
        "prior": {"kind": "standard_normal", "dim": 2},
        "decoder": {"kind": "mlp", "hidden": [8]},
        "likelihood": "bernoulli",
    },
    "objective": {
        "kind": "elbo",
        "divergences": [{"kind": "kl", "weight": {"kind": "linear", "start": 0.0, "end": 1.0, "epochs": 40}}],
    },
    "training": {"epochs": 400, "batch_size": 16},
}


@pytest.fixture(scope="module")
def zoo() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "zoo.py"), run_name="zoo")


@pytest.fixture(scope="module")
def scripts() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "run_gallery.py"), run_name="run_gallery")


def test_every_experiment_is_in_exactly_one_group(zoo: dict[str, Any]):
    grouped = Counter(name for group in zoo["groups"]() for name in group["experiments"])
    shipped = set(zoo["files"]())
    assert not shipped - set(grouped), "add these to docs/zoo_groups.json"
    assert not set(grouped) - shipped, "these are in docs/zoo_groups.json and do not exist"
    assert set(grouped.values()) == {1}


def test_the_groups_are_rows_of_the_page_of_limits(zoo: dict[str, Any]):
    rows = re.findall(r"^\| ([^|]+?) \|", (DOCS / "limits.md").read_text(), re.M)
    assert not [group["limit"] for group in zoo["groups"]()[1:] if group["limit"] not in rows]


def test_page_shows_every_experiment(zoo: dict[str, Any]):
    page = zoo["zoo_page"]()
    for path in zoo["files"]().values():
        part = page.partition(f"### {path.stem}\n")[2].partition("\n#")[0]
        assert json.loads(path.read_text())["description"] in part
        assert f"]({path.relative_to(ROOT).as_posix()})" in part


def test_there_are_stored_runs():
    assert STORED


@pytest.mark.parametrize("folder", STORED, ids=lambda path: path.name)
def test_stored_run_says_where_it_comes_from(folder: Path):
    manifest, evaluation, config = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("manifest", "evaluation", "config")
    )
    assert {manifest["name"], evaluation["name"], config["name"]} == {folder.name}
    assert manifest["status"] == "finished"
    assert manifest["data"]["source"] != "mnist-5k", "the offline fallback, not MNIST"
    assert manifest.get("cpu_seconds", 0) <= 300
    assert all(value["value"] is not None for value in evaluation["values"].values())
    assert (folder / "gallery.png").stat().st_size < 60_000
    assert not re.search(r'"(/|\w:\\)', json.dumps([manifest, evaluation])), "a path of the machine"


def test_a_picture_is_shown_where_a_kind_is_used(zoo: dict[str, Any]):
    name = STORED[0].name
    for family, kind in sorted(zoo["parts_of"](name)):
        assert part_of_example(zoo, family, kind)


def part_of_example(zoo: dict[str, Any], family: str, kind: str) -> bool:
    return (family, kind) in zoo["parts_of"](zoo["example_of"](FAMILIES[family], kind))


def test_shortened_experiment_keeps_its_proportions(scripts: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(scripts["shortened"].__globals__, "measured", lambda content: (0.01, 1600))
    short = scripts["shortened"](DIGITS, 4.0)
    assert short["training"] == {"steps": 400, "batch_size": 16}
    assert short["objective"]["divergences"][0]["weight"]["epochs"] == 10
    limits = {metric["kind"]: metric.get("limit") for metric in short["evaluation"]["metrics"]}
    assert limits == {"negative_elbo": None, "importance_nll": 200, "reconstruction": None, "active_units": 2000}
    assert [figure["kind"] for figure in short["evaluation"]["figures"]] == ["samples"]
    assert scripts["shortened"](DIGITS, 1e6)["training"]["steps"] == 1600, "never longer than the file asks for"
    parse_experiment(short)
    assert DIGITS["training"] == {"epochs": 400, "batch_size": 16}, "what is given is not changed"


def test_time_of_a_step_is_measured(scripts: dict[str, Any]):
    seconds, asked = scripts["measured"](DIGITS)
    assert 0 < seconds < 1
    assert asked == 400 * 4


def test_a_run_is_copied_with_one_small_picture(
    scripts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from PIL import Image

    evaluation = {"metrics": ["negative_elbo"], "figures": []}
    training = {"steps": 2, "batch_size": 16}
    run = vaelab.train({**DIGITS, "training": training, "evaluation": evaluation}, tmp_path / "runs")
    monkeypatch.setitem(scripts["add"].__globals__, "GALLERY", tmp_path / "gallery")
    target = scripts["add"](run)
    assert sorted(path.name for path in target.iterdir()) == [
        "config.json",
        "evaluation.json",
        "gallery.png",
        "manifest.json",
    ]
    assert "platform" not in json.loads((target / "manifest.json").read_text())
    width, height = Image.open(target / "gallery.png").size
    assert width > height > 100
