"""From a JSON file to artefacts."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import vaelab
from command_line import EXPERIMENT, ROOT, Cli, Done, call
from vaelab.config import load_experiment

Finished = tuple[Path, Done]
#: Without what takes most of the time of a run this small.
BARE = ("--set", "evaluation.figures=[]", "--set", "evaluation.report=false")


def test_a_run_leaves_everything_that_is_promised(finished: Finished) -> None:
    run, done = finished
    config = load_experiment(run / "config.json")
    assert config.training.optimiser.model_dump()["beta2"] == 0.999, "defaults are written out"

    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["seed"] == 0
    assert manifest["data"]["source"]
    assert manifest["data"]["sizes"]["validation"] == 100
    assert manifest["versions"]["torch"] == torch.__version__
    assert re.fullmatch("[0-9a-f]{64}", manifest["config_sha256"])
    assert manifest["wall_seconds"] > 0
    assert manifest["peak_memory"]["process"] > 10**7
    assert manifest["parameters"] == sum(v.numel() for v in load_file(run / "weights.safetensors").values())

    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["split"] == "train"]
    assert steps == sorted(set(steps))
    assert {"loss", "distortion", "kl", "lr", "epoch"} <= set(lines[0])
    assert sum(line["split"] == "validation" for line in lines) == 2
    assert lines[-2]["loss"] < lines[0]["loss"]

    values = json.loads((run / "evaluation.json").read_text())["values"]
    elbo, nll = values["negative_elbo"], values["nll_is8"]
    assert elbo["value"] == pytest.approx(values["distortion"]["value"] + values["rate"]["value"], rel=1e-5)
    assert nll["value"] < elbo["value"]
    assert nll["stderr"] > 0

    figures = {path.stem for path in (run / "figures").glob("*.png")}
    for name in ("reconstructions", "samples", "traversals", "latents", "manifold", "curves"):
        assert any(figure.startswith(name) for figure in figures), (name, figures)
    assert "negative_elbo" in done.out
    assert str(Path("runs/tiny")) in done.out
    assert "epoch 2/2" in done.out, "plain lines where there is no terminal"


def test_the_same_seed_gives_the_same_run_and_another_does_not(finished: Finished, cli: Cli, tmp_path: Path) -> None:
    run, _ = finished
    assert cli("run", "tiny.json", *BARE).code == 0
    assert cli("run", "tiny.json", *BARE, "--set", "seed=1").code == 0
    again, other = sorted(tmp_path.glob("runs/tiny/*"))
    left, right = load_file(run / "weights.safetensors"), load_file(again / "weights.safetensors")
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert (run / "metrics.jsonl").read_text() == (again / "metrics.jsonl").read_text()
    values = [json.loads((path / "evaluation.json").read_text())["values"] for path in (run, again, other)]
    assert values[0] == values[1] != values[2]


def test_set_out_and_device(cli: Cli, tmp_path: Path) -> None:
    done = cli(
        *("run", "tiny.json", "--out", "elsewhere", "--device", "cpu"),
        *("--set", "training.epochs=1", "--set", "name=other", "--set", "objective.kind=elbo"),
        *("--set", 'objective.divergences=[{"kind":"kl","weight":4.0}]', "--set", "objective.divergences.0.weight=2.5"),
    )
    assert done.code == 0, done.err
    run = next(tmp_path.glob("elsewhere/other/*"))
    config = json.loads((run / "config.json").read_text())
    assert config["training"]["epochs"] == 1
    assert config["device"] == "cpu"
    assert config["objective"]["divergences"][0]["weight"] == {"kind": "constant", "value": 2.5}


def test_dry_run_and_validate_write_nothing(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "tiny.json", "--dry-run")
    assert done.code == 0
    assert '"beta1": 0.9' in done.out
    assert " parameters, 1 latent group(s) of 2" in done.out
    done = cli("validate", "tiny.json")
    assert done.code == 0
    assert "tiny.json: valid" in done.out
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.json"]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_stops_the_run_and_resume_finishes_it(tmp_path: Path, number: signal.Signals) -> None:
    experiment = {**EXPERIMENT, "training": {"epochs": 400, "batch_size": 64, "log_every": 5, "checkpoint_every": 1000}}
    (tmp_path / "long.json").write_text(json.dumps(experiment))
    process = subprocess.Popen(
        [sys.executable, "-m", "vaelab", "run", "long.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while (
        not list(tmp_path.glob("runs/tiny/*/metrics.jsonl"))
        or not next(tmp_path.glob("runs/tiny/*/metrics.jsonl")).read_text()
    ):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    run = next(tmp_path.glob("runs/tiny/*"))
    assert f"python -m vaelab run --resume {run.relative_to(tmp_path)}" in err
    assert json.loads((run / "manifest.json").read_text())["status"] == "stopped"
    assert len(list((run / "checkpoints").iterdir())) == 1
    assert not (run / "weights.safetensors").exists()
    sample = call("sample", str(run), cwd=tmp_path)
    assert sample.code == 4
    assert "--resume" in sample.err


def test_a_stopped_run_is_finished_by_resume(cli: Cli, tmp_path: Path) -> None:
    # a run whose process died between training and evaluation
    assert cli("run", "tiny.json", *BARE).code == 0
    run = next(tmp_path.glob("runs/tiny/*"))
    evaluation = (run / "evaluation.json").read_text()
    metrics = (run / "metrics.jsonl").read_text()
    (run / "evaluation.json").unlink()
    (run / "weights.safetensors").unlink()
    (run / "metrics.jsonl").write_text(metrics + '{"split": "train", "st')
    done = cli("run", "--resume", str(run))
    assert done.code == 0, done.err
    assert (run / "evaluation.json").read_text() == evaluation
    assert (run / "metrics.jsonl").read_text() == metrics


def test_a_run_is_not_evaluated_or_resumed_on_other_data(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", "tiny.json", *BARE).code == 0
    run = next(tmp_path.glob("runs/tiny/*"))
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["data"]["source"] = "something else"
    (run / "manifest.json").write_text(json.dumps(manifest))
    evaluation = (run / "evaluation.json").read_text()
    for arguments in (("evaluate", str(run)), ("run", "--resume", str(run)), ("sample", str(run), "--digit", "1")):
        done = cli(*arguments)
        assert done.code == 4, done.err
        assert "source was something else" in done.err
    assert (run / "evaluation.json").read_text() == evaluation
    assert cli("sample", str(run), "--num", "2").code == 0, "the prior needs no data"


def test_the_python_api_does_the_same(finished: Finished, tmp_path: Path) -> None:
    run, _ = finished
    loaded = vaelab.load_run(run)
    again = vaelab.train(vaelab.load_experiment(run / "config.json"), tmp_path)
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    values: Any = again.evaluation["values"]
    assert values == loaded.evaluation["values"]

    x = loaded.data.test.fetch(torch.arange(5)).x
    (z,) = loaded.encode(x)
    (mean,) = loaded.encode(x, mean=True)
    assert z.shape == mean.shape == (5, 2)
    assert not torch.equal(z, mean)
    assert torch.equal(mean, loaded.encode(x, mean=True)[0])
    pictures = loaded.decode(mean)
    assert pictures.shape == (5, 1, 8, 8)
    assert float((pictures - x).square().mean()) < float(x.var())
    assert loaded.sample(3).shape == (3, 1, 8, 8)


def test_sample_reconstruct_traverse_and_evaluate(finished: Finished, tmp_path: Path) -> None:
    run, _ = finished
    cwd = run.parents[2]
    out = str(tmp_path / "pictures")

    done = call("sample", "tiny", "--digit", "3", "--num", "4", "--out", out, cwd=cwd)
    assert done.code == 0, done.err
    names = sorted(path.name for path in Path(out).iterdir())
    assert names == [*(f"generated_digit-3_{i}.png" for i in range(4)), "generated_digit-3_grid.png"]
    with Image.open(Path(out) / names[0]) as picture:
        assert picture.size == (8, 8)
        assert picture.getextrema()[1] > 100

    done = call("sample", str(run), "--digit", "all", "--num", "2", "--out", out, cwd=cwd)
    assert done.code == 0, done.err
    assert len(list(Path(out).glob("generated_digit-*_[01].png"))) == 20
    assert (Path(out) / "generated_digit-all_grid.png").exists()

    done = call("sample", str(run), "--num", "6", "--out", out, "--seed", "1", "--temperature", "0.5", cwd=cwd)
    assert done.code == 0, done.err
    assert len(list(Path(out).glob("sample_[0-9].png"))) == 6

    for command in (["reconstruct", str(run), "--num", "4"], ["traverse", str(run), "--units", "2"]):
        done = call(*command, "--out", out, cwd=cwd)
        assert done.code == 0, done.err
        assert Path(done.out.strip().splitlines()[-1]).suffix == ".png"

    done = call("evaluate", str(run), "--split", "validation", cwd=cwd)
    assert done.code == 0, done.err
    assert json.loads((run / "evaluation-validation.json").read_text())["split"] == "validation"


def test_wandb_offline_gets_the_same_names(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "tiny.json", "--set", 'trackers=[{"kind":"wandb","mode":"offline"}]')
    assert done.code == 0, done.err
    run = next(tmp_path.glob("runs/tiny/*"))
    (kept,) = run.glob("wandb/offline-run-*")
    (log,) = kept.glob("*.wandb")
    content = log.read_bytes()
    for name in (b"train/loss", b"validation/negative_elbo", b"test/nll_is8", b"figures/samples", b"hidden"):
        assert name in content, name
