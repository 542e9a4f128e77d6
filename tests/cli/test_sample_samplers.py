"""`sample --sampler`, two-stage runs and `ensemble`, from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import vaelab
from command_line import EXPERIMENT, Done, call
from vaelab.errors import ConfigError, DataError, RunError
from vaelab.latents import checksum

SMALL: dict[str, Any] = {**EXPERIMENT, "evaluation": {"metrics": ["negative_elbo"], "figures": []}}
SECOND: dict[str, Any] = {
    **SMALL,
    "name": "second",
    "data": {"kind": "latents", "run": "runs/tiny"},
    "model": {**SMALL["model"], "likelihood": "normal"},
}


def refused(done: Done, code: int, *words: str) -> None:
    assert done.code == code, (done.out, done.err)
    assert "defect" not in done.err
    for word in words:
        assert word in done.err, done.err


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `tiny`, `other` (another seed), `bits` (other data), `told` (conditional) and `second` (on latents of tiny)."""
    folder = tmp_path_factory.mktemp("place")
    told = {
        **SMALL,
        "data": {"kind": "digits", "condition": "label"},
        "model": {
            **SMALL["model"],
            "prior": {"kind": "conditional", "dim": 2, "readout": "latent_and_condition"},
        },
    }
    bits = {**SMALL, "data": {**SMALL["data"], "binarisation": "dynamic"}}
    for name, experiment in {
        "tiny": SMALL,
        "other": {**SMALL, "seed": 1},
        "bits": bits,
        "told": told,
    }.items():
        vaelab.train({**experiment, "name": name}, folder / "runs", device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        vaelab.train(SECOND, "runs", device="cpu")
    return folder


def test_a_fitted_sampler_writes_pictures_and_says_what_it_fitted(place: Path) -> None:
    sample = ("sample", "tiny", "--sampler", "gmm", "--set", "components=3", "--set", "limit=200", "--num", "4")
    done = call(*sample, "--out", "one", cwd=place)
    assert done.code == 0, done.err
    assert "fitted 'gmm': latents 200, log likelihood -" in done.out
    assert "±" in done.out
    assert len(list((place / "one").glob("sample_[0-9].png"))) == 4
    again = call(*sample, "--out", "two", cwd=place)
    assert again.out.splitlines()[0] == done.out.splitlines()[0]
    pictures = [Image.open(place / name / "sample_grid.png").tobytes() for name in ("one", "two")]
    assert pictures[0] == pictures[1]
    call(*sample, "--out", "three", "--temperature", "0.1", cwd=place)
    assert Image.open(place / "three" / "sample_grid.png").tobytes() != pictures[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--sampler", "gm"), ("unknown sampler kind 'gm'", "Did you mean 'gmm'?")),
        (("--sampler", "gmm", "--set", "component=2"), ("--sampler gmm", "$.component", "Did you mean 'components'?")),
        (("--sampler", "gmm", "--set", "components=0"), ("$.components", "greater than 0", "(got 0)")),
        (("--sampler", "gmm", "--set", "components"), ("--set components", "'='")),
        (("--sampler", "maf", "--set", 'optimiser={"kind": "adan"}'), ("$.optimiser", "Did you mean 'adam'?")),
        (("--sampler", "codes"), ("'codes'", "'gmm'")),
        (("--condition", "3"), ("--condition", '"condition": "label"')),
        (("--digit", "3", "--sampler", "gmm"), ("--digit", "--sampler")),
        (("--set", "temperature=2"), ("--sampler prior", "$.temperature", "unknown key")),
    ],
)
def test_wrong_samplers_are_explained(place: Path, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    refused(call("sample", "tiny", *arguments, "--out", "none", cwd=place), 2, *words)
    assert not (place / "none").exists()


def test_a_conditional_model_is_given_a_label(place: Path) -> None:
    for sampler in ("prior", "gmm"):
        done = call("sample", "told", "--sampler", sampler, "--condition", "3", "--num", "2", "--out", "l", cwd=place)
        assert done.code == 0, done.err
        done = call("sample", "told", "--sampler", sampler, "--num", "2", "--out", "l", cwd=place)
        assert done.code == 0, done.err
    refused(call("sample", "told", "--condition", "10", cwd=place), 2, "--condition 10", "0 to 9")


# Two stages


def test_a_run_on_latents_says_whose_they_are(place: Path) -> None:
    manifest = json.loads(next((place / "runs/second").glob("*/manifest.json")).read_text())
    first = vaelab.load_run(next((place / "runs/tiny").iterdir()), "cpu")
    data = manifest["data"]
    assert data["source"] == f"latents of tiny/{first.path.name}"
    assert data["files"]["weights"] == checksum(first.model)
    assert data["files"]["config"] == json.loads(first.directory.manifest.read_text())["config_sha256"]
    assert data["first"]["source"] == "scikit-learn digits"
    assert data["sizes"] == data["first"]["sizes"]


def test_latents_are_draws_of_the_posterior(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vaelab.registry import DATASETS

    monkeypatch.chdir(place)
    first = vaelab.load_run("tiny", "cpu")
    rows = torch.arange(4)
    batch = first.data.train.fetch(rows)
    [mean] = first.model.encode(batch.x, mean=True)
    q = first.model.infer(batch).groups[0].q

    def load(**more: Any) -> Any:
        return DATASETS.build(DATASETS._validate({"kind": "latents", "run": "tiny", **more})).load()

    torch.testing.assert_close(load(draws="means").train.fetch(rows).x, mean)
    fresh = load().train
    draws = torch.stack([fresh.fetch(rows).x for _ in range(400)])
    assert bool(((draws.mean(0) - mean).abs() < 5 * q.variance[0].sqrt() / 20).all())
    torch.testing.assert_close(draws.std(0), q.variance[0].sqrt().detach(), rtol=0.25, atol=0)
    assert torch.equal(fresh.fetch(rows).y, batch.y)
    one, two = load(draws="fixed"), load(draws="fixed")
    torch.manual_seed(9)
    assert torch.equal(one.train.fetch(rows).x, two.train.fetch(rows).x)
    assert torch.equal(one.train.fetch(rows).x, one.train.fetch(rows).x)
    assert not torch.equal(one.train.fetch(rows).x, load(draws="fixed", draw_seed=1).train.fetch(rows).x)
    assert len(one.validation) == 100
    told = load(condition="label")
    assert told.train.spec.condition_shape == (10,)
    assert torch.equal(told.train.fetch(rows).condition.argmax(1), batch.y)


def test_the_second_run_is_a_sampler_of_the_first(place: Path) -> None:
    done = call(
        "sample", "tiny", "--sampler", "two_stage", "--set", "run=second", "--num", "3", "--out", "t", cwd=place
    )
    assert done.code == 0, done.err
    assert (place / "t" / "sample_2.png").exists()
    wrong = call("sample", "other", "--sampler", "two_stage", "--set", "run=second", cwd=place)
    refused(wrong, 2, "latents of another model")
    wrong = call("sample", "tiny", "--sampler", "two_stage", "--set", "run=other", cwd=place)
    refused(wrong, 2, "'digits'", "'latents'")
    refused(call("sample", "tiny", "--sampler", "two_stage", "--set", "run=absent", cwd=place), 4, "'absent' is no run")


def test_second_runs_go_on_where_both_are_moved_together(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(place / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    second = vaelab.load_run("second", "cpu")
    before = second.evaluation["values"]
    assert vaelab.evaluate_run(second).to_json()["values"] == before
    second.directory.weights.unlink()
    assert vaelab.resume(second.path).evaluation["values"] == before
    # another run under the name
    shutil.rmtree(tmp_path / "runs" / "tiny")
    with pytest.raises(DataError, match=r"dataset 'latents'.*'runs/tiny'.*data\.run"):
        vaelab.evaluate_run(vaelab.load_run(second.path))
    shutil.copytree(next((place / "runs/other").iterdir()), tmp_path / "runs" / "tiny" / "x")
    with pytest.raises(RunError, match="not those that the run was trained on"):
        vaelab.evaluate_run(vaelab.load_run(second.path, "cpu"))


# Ensembles


def test_an_ensemble_is_evaluated_and_written(place: Path) -> None:
    done = call("ensemble", "tiny", "other", "--samples", "5", "--limit", "60", "--weights", "fitted", cwd=place)
    assert done.code == 0, done.err
    content = json.loads((place / "ensemble" / "ensemble.json").read_text())
    assert content["number"] == 60
    assert content["weights_fitted_to"] == "validation"
    assert sum(member["weight"] for member in content["members"]) == pytest.approx(1)
    nll = [member["nll_is5"]["value"] for member in content["members"]]
    assert content["mixture"]["nll_is5"]["value"] < max(nll)
    assert content["difference_to_best"]["value"] == pytest.approx(content["mixture"]["nll_is5"]["value"] - min(nll))
    assert Image.open(place / "ensemble" / "samples.png").size[0] > 8
    for word in ("mixture", "weight", "nll_is5", "(best)", "paired", "samples.png"):
        assert word in done.out
    done = call("ensemble", "tiny", "other", "--samples", "5", "--limit", "60", "--json", cwd=place)
    printed = json.loads(done.out)
    assert printed["weights_fitted_to"] is None
    assert [member["nll_is5"]["value"] for member in printed["members"]] == nll, "the same draws, whatever the weights"
    mixture = vaelab.ensemble(
        [next((place / "runs" / name).iterdir()) for name in ("tiny", "other")], samples=5, limit=60
    )
    assert mixture.nll.value == printed["mixture"]["nll_is5"]["value"]


def test_members_on_different_data_are_refused(place: Path) -> None:
    refused(call("ensemble", "tiny", "bits", cwd=place), 2, "values", '"unit" and "binary"')
    refused(call("ensemble", "tiny", "told", cwd=place), 2, "condition_shape", "null and [10]")
    refused(call("ensemble", "tiny", cwd=place), 2, "two or more")
    refused(call("ensemble", "tiny", "tiny", cwd=place), 2, "named twice")
    refused(call("ensemble", "tiny", "other", "--weights", "equal", cwd=place), 2, "'uniform' or 'fitted'")
    refused(call("ensemble", "tiny", "absent", cwd=place), 4, "'absent' is no run")


def test_members_with_another_split_are_refused(place: Path, tmp_path: Path) -> None:
    runs = []
    for name, changes in {"a": {}, "b": {"split_rule": "another"}}.items():
        shutil.copytree(next((place / "runs/tiny").iterdir()), tmp_path / name)
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        manifest["data"] |= changes
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
        runs.append(tmp_path / name)
    with pytest.raises(ConfigError, match=r"split_rule is .* and \"another\""):
        vaelab.ensemble(runs)
