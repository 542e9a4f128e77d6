"""What is wrong gives one message, an exit code, no traceback and no run directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import EXPERIMENT, Cli, Done, call
from vaelab.errors import ConfigError


def refused(done: Done, code: int, *words: str) -> None:
    assert done.code == code, (done.code, done.out, done.err)
    assert "Traceback" not in done.err
    assert "defect of vaelab" not in done.err
    for word in words:
        assert word in done.err, (word, done.err)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("model.prior.kind=standrd_normal", ("$.model.prior", "'standrd_normal'", "Did you mean 'standard_normal'?")),
        ("model.prior.dim=0", ("$.model.prior.dim", "greater than 0", "(got 0)")),
        ("model.prior.dimm=3", ("$.model.prior.dimm", "unknown key")),
        ("training.epoch=3", ("$.training.epoch", "Did you mean 'epochs'?")),
        ("training.steps=3", ("$.training", "exactly one of 'epochs' and 'steps'")),
        ("objective.weight.3=1", ("$.objective",)),
        ("evaluation.metrics.9=1", ("a list of 4", "'9'")),
        ('model.likelihood={"kind":"bernoulli"}', ("bernoulli", "binarisation", "continuous_bernoulli")),
        ('model.posterior={"kind":"vq"}', ("posterior 'vq'", "prior 'standard_normal'", "codes")),
        ('model.encoder={"kind":"gru"}', ("encoder 'gru'", "8 features", "prior 'standard_normal'")),
        ("name=../../etc", ("$.name",)),
        ("device=quantum", ("$.device",)),
        ("device=cuda:7", ("cuda:7", "--device cpu")),
        ("data.validation=99999", ("validation",)),
        ('plugins=["no.such.module"]', ("plugin 'no.such.module'", "Install it")),
        ("seed=-1", ("$.seed",)),
        ('evaluation.metrics=["mig"]', ("metric 'mig'", "factors", "sprites")),
        ('training.validation=["dci"]', ("metric 'dci'", "factors")),
        ('evaluation.metrics=[{"kind": "ood", "data": {"kind": "sprites"}}]', ("metric 'ood'", "shape")),
        ('training.optimiser={"kind":"adam","lr":"-"}', ("$.training.optimiser.lr",)),
    ],
)
def test_settings(cli: Cli, tmp_path: Path, setting: str, words: tuple[str, ...]) -> None:
    done = cli("run", "tiny.json", "--set", setting)
    assert done.code in (2, 3, 4)
    refused(done, done.code, *words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ("not JSON", "line 1")),
        ('{"name": "a", "name": "b"}', ("'name' stands twice",)),
        ('{"seed": NaN}', ("NaN",)),
        ("[1]", ("JSON object", "list")),
        ("{}", ("$.data", "$.model", "$.training", "missing")),
        ('{"seed": ' + "[" * 100_000 + "}", ("bad.json",)),
    ],
)
def test_files(cli: Cli, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "bad.json").write_text(text)
    refused(cli("run", "bad.json"), 2, "bad.json", *words)
    assert not (tmp_path / "runs").exists()


def test_missing_things(cli: Cli, tmp_path: Path) -> None:
    refused(cli("run", "absent.json"), 2, "absent.json", "cannot be read")
    refused(cli("run"), 2, "--resume")
    refused(cli("evaluate", "nothing"), 4, "'nothing' is no run")
    refused(cli("run", "--resume", "nothing"), 4, "'nothing' is no run")
    refused(cli("show", "prior", "vampp"), 2, "Did you mean 'vamp'?")
    refused(cli("list", "priors"), 2, "Families:", "prior")


def test_a_place_that_cannot_be_written(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(cli("run", "tiny.json", "--out", "file"), 6, "file", "Choose another place")


def test_unfit_labels_and_temperatures(finished: tuple[Path, Done], tmp_path: Path) -> None:
    run, _ = finished
    for arguments, words in (
        (("--digit", "10"), "0 to 9"),
        (("--digit", "three"), "0 to 9"),
        (("--digit", "1" * 5000), "0 to 9"),
        (("--temperature", "0"), "temperature"),
        (("--sampler", "pixelcnn"), "unknown sampler kind"),
    ):
        done = call("sample", str(run), *arguments, "--out", str(tmp_path / "out"), cwd=tmp_path)
        refused(done, 2, words)
    assert not (tmp_path / "out").exists()


def test_weights_of_another_model_or_damaged(finished: tuple[Path, Done], tmp_path: Path) -> None:
    run, _ = finished
    copy = tmp_path / "copy"
    copy.mkdir()
    config = json.loads((run / "config.json").read_text())
    weights = (run / "weights.safetensors").read_bytes()
    (copy / "weights.safetensors").write_bytes(weights)
    (copy / "config.json").write_text(
        json.dumps({**config, "model": {**config["model"], "prior": {"kind": "standard_normal", "dim": 3}}})
    )
    refused(call("sample", str(copy), cwd=tmp_path), 4, "weights.safetensors", "not this model's weights")
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "weights.safetensors").write_bytes(weights[: len(weights) // 2])
    refused(call("sample", str(copy), cwd=tmp_path), 4, "weights.safetensors", "cannot be read")


def test_debug_shows_the_traceback(cli: Cli) -> None:
    with pytest.raises(ConfigError, match=r"absent\.json"):
        cli("run", "absent.json", "--debug")


def test_a_failed_run_says_so_in_its_manifest(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "tiny.json", "--set", "training.optimiser.kind=sgd", "--set", "training.optimiser.lr=1e30")
    refused(done, 5, "NaN or infinite", "learning rate")
    manifest = json.loads(next(tmp_path.glob("runs/tiny/*/manifest.json")).read_text())
    assert manifest["status"] == "failed"
    assert "NonFiniteError" in manifest["error"]


def test_validate_reports_every_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(json.dumps({**EXPERIMENT, "name": 3}))
    (tmp_path / "third.json").write_text("nonsense")
    done = cli("validate", "tiny.json", "other.json", "third.json")
    assert done.code == 2
    assert "tiny.json: valid" in done.out
    assert "$.name" in done.err
    assert "third.json: not JSON" in done.err


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        (3, ("training.early_stopping={}", "data.validation=0")),
        (3, ("training.drop_last=true", "training.batch_size=100000")),
        (2, ('training.early_stopping={"metric": "negative_elbow"}',)),
    ],
)
def test_a_run_that_is_refused_before_its_first_step_leaves_nothing(
    cli: Cli, tmp_path: Path, code: int, settings: tuple[str, ...]
) -> None:
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    refused(cli("run", "tiny.json", *arguments), code, "training.")
    assert not list((tmp_path / "runs").rglob("*"))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.optimiser.lr=-0.1", ("$.training.optimiser.lr", "at least 0")),
        ('training.optimiser.lr={"kind": "linear", "start": 0.1, "end": -1}', ("$.training.optimiser.lr", "is -1")),
        ('training.optimiser={"kind": "sgd", "nesterov": true}', ("'nesterov' needs a 'momentum'",)),
        ('training.epochs="3"', ("$.training.epochs", "without quotes")),
        ("training.epochs=true", ("$.training.epochs", "should be a number")),
        ("training.compile=1", ("$.training.compile", "true or false")),
        ("seed=1e400", ("$.seed",)),
        ('data={"kind": "digits", "kind": "mnist"}', ("--set data=", "stands twice")),
        ("model.prior.dim=1000000000000", ("prior 'standard_normal'", "this machine allows", "Lower its widths")),
        ("model.encoder.hidden=[1000000000]", ("encoder 'mlp'", "this machine allows")),
    ],
)
def test_values_that_used_to_pass(cli: Cli, tmp_path: Path, setting: str, words: tuple[str, ...]) -> None:
    done = cli("validate", "tiny.json", "--set", setting)
    refused(done, 2, *words)


def test_names_that_lead_elsewhere(cli: Cli, tmp_path: Path) -> None:
    before = sorted(path for path in tmp_path.rglob("*"))
    for name in ("..", "../x", "/tmp/x", "a/b", "a\0b", "x" * 101, ".hidden", "a\n", "é", ""):
        done = cli("run", "tiny.json", "--set", f"name={json.dumps(name)}")
        refused(done, 2, "name")
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_no_run_has_such_a_name(tmp_path: Path) -> None:
    below = tmp_path / "below"  # so that ".." does not hold the folders of other tests
    below.mkdir()
    for name in ("x" * 5000, "a/" * 3000, "~nobody/x", "💥", ".."):
        refused(call("evaluate", name, cwd=below), 4, "is no run")


@pytest.mark.parametrize("place", [".", "kept", "..", "kept/"])
def test_a_file_is_not_written_over_a_folder(cli: Cli, tmp_path: Path, place: str) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    refused(cli("schema", "--out", place), 6, "it is a folder", "Give the name of a file")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('{"kind": "digits", "kind": "mnist"}', ("DATA", "stands twice")),
        ('{"a": ' * 3000, ("DATA",)),
        ('{"kind": 3}', ("DATA", "'kind'")),
        ("~nobody-of-that-name/x.npz", ("no file, no folder",)),
        ("x" * 5000, ("no file, no folder",)),
        ('{"kind": "table", "path": "~nobody-of-that-name/x.csv"}', ("x.csv",)),
        ('{"kind": "huggingface", "path": "~nobody-of-that-name/x"}', ("nobody-of-that-name",)),
    ],
)
def test_data_that_cannot_be_looked_at(cli: Cli, data: str, words: tuple[str, ...]) -> None:
    done = cli("inspect", data)
    assert done.code in (2, 3)
    refused(done, done.code, *words)


def test_figures_have_bounds(cli: Cli) -> None:
    for figure in ('{"kind": "samples", "number": 1000000}', '{"kind": "manifold", "size": 5000}'):
        refused(cli("validate", "tiny.json", "--set", f"evaluation.figures=[{figure}]"), 2, "$.evaluation.figures[0]")
    assert cli("traverse", "tiny", "--steps", "1000000").code == 2
