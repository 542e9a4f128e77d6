"""`evaluate` of several runs and `compare`, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import vaelab
from command_line import EXPERIMENT, call

SMALL: dict[str, Any] = {**EXPERIMENT, "evaluation": {"metrics": ["negative_elbo"], "figures": []}}
SMALL["training"] = {"steps": 5, "batch_size": 64}
NLL = '{"kind": "importance_nll", "samples": 3}'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Runs `tiny`, `tiny1` (another seed) and `bits` (another binarisation)."""
    bits = {**SMALL, "name": "bits", "data": {**SMALL["data"], "binarisation": "threshold"}}
    for experiment in (SMALL, {**SMALL, "name": "tiny1", "seed": 1}, bits):
        vaelab.train(experiment, tmp_path / "runs", device="cpu")
    return tmp_path


def evaluation(place: Path, name: str) -> dict[str, Any]:
    [path] = (place / "runs" / name).glob("*/evaluation.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_runs_are_measured_further_and_compared(place: Path) -> None:
    before = evaluation(place, "tiny")
    done = call("evaluate", "tiny", "tiny1", "--metric", NLL, cwd=place)
    assert done.code == 0, done.err
    assert done.out.count("nll_is3") == 2
    after = evaluation(place, "tiny")
    assert after["values"]["negative_elbo"] == before["values"]["negative_elbo"]
    assert after["values"].keys() - before["values"].keys() == {"nll_is3", "ess_is3"}
    assert [metric["kind"] for metric in after["metrics"]] == ["negative_elbo", "importance_nll"]

    done = call("compare", "tiny", "tiny1", "--out", "result", cwd=place)
    assert done.code == 0, done.err
    for word in ("nll_is3 ↓", "negative_elbo ↓", "(2)", "comparison.md"):
        assert word in done.out
    content = json.loads((place / "result" / "comparison.json").read_text())
    values = [evaluation(place, name)["values"]["nll_is3"]["value"] for name in ("tiny", "tiny1")]
    assert content["cells"]["nll_is3"][0]["values"] == {"0": values[0], "1": values[1]}
    printed = call("compare", "tiny", "tiny1", "--metric", "nll_is3", "--json", cwd=place)
    assert json.loads(printed.out)["metrics"] == ["nll_is3"]

    done = call("evaluate", "tiny", "--metric", NLL, "--limit", "20", cwd=place)
    assert done.code == 0, done.err
    assert evaluation(place, "tiny")["values"]["nll_is3"]["number"] == 20
    assert "of data" in done.out
    assert [line.split("│")[-2].strip() for line in done.out.splitlines() if "_is3 " in line] == ["20", "20"]
    done = call("compare", "tiny", "tiny1", cwd=place)
    assert (done.code, "number of data is 20 and" in done.err) == (2, True), done.err
    done = call("compare", "tiny", "bits", cwd=place)
    assert (done.code, 'binarisation is "none" and "threshold"' in done.err) == (2, True), done.err


def test_another_split_has_a_file_of_its_own(place: Path) -> None:
    done = call("evaluate", "tiny", "--metric", NLL, "--split", "validation", cwd=place)
    assert done.code == 0, done.err
    assert "nll_is3" not in evaluation(place, "tiny")["values"]
    done = call("compare", "tiny", "--split", "validation", "--json", cwd=place)
    assert json.loads(done.out)["metrics"] == ["nll_is3", "ess_is3"]
    done = call("compare", "tiny1", "--split", "validation", cwd=place)
    assert (done.code, "not evaluated on the validation split" in done.err) == (4, True), done.err
    done = call("evaluate", "tiny", "--metric", "nll", cwd=place)
    assert (done.code, "unknown metric kind 'nll'" in done.err) == (2, True), done.err
