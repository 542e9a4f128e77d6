"""The same config, seed and machine give the same bits, in processes of their own; `rerun` tells what differs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from command_line import call
from faults.runs import begun, experiment, finished
from vaelab.determinism import deterministic
from vaelab.errors import VaelabError


def test_two_processes_and_a_rerun_give_the_same_bits(tmp_path: Path) -> None:
    content = {**experiment("adversarial", epochs=1, figures=()), "deterministic": True}
    runs = []
    for name in ("first", "second"):
        finished(content, tmp_path / name)
        runs += begun(tmp_path / name)
    for file in ("weights.safetensors", "metrics.jsonl"):
        assert (runs[0] / file).read_bytes() == (runs[1] / file).read_bytes()

    done = call("rerun", str(runs[0]), cwd=tmp_path)
    assert done.code == 0, done.err
    assert "the same weights, metrics and evaluation, bit for bit" in done.out

    # a record that says something else: each difference is named
    manifest = json.loads((runs[1] / "manifest.json").read_text())
    manifest["versions"]["torch"] = "1.0"
    (runs[1] / "manifest.json").write_text(json.dumps(manifest))
    evaluation = json.loads((runs[1] / "evaluation.json").read_text())
    evaluation["values"]["negative_elbo"]["value"] += 1e-9
    (runs[1] / "evaluation.json").write_text(json.dumps(evaluation))
    lines = [json.loads(line) for line in (runs[1] / "metrics.jsonl").read_text().splitlines()]
    lines[1]["loss"] = 0.0
    (runs[1] / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.rmtree(tmp_path / "reruns")
    done = call("rerun", str(runs[1]), cwd=tmp_path)
    assert done.code == 7
    for words in (
        "environment: versions, torch was 1.0",
        "metrics.jsonl, train at step 4, loss was 0.0",
        "negative_elbo",
    ):
        assert words in done.out
    assert "SHA-256" not in done.out, "the weights are the same"


def test_deterministic_mode_is_on_only_while_it_is_wanted() -> None:
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(VaelabError, match="Set deterministic to false"), deterministic(True):
        raise RuntimeError("max_unpool2d does not have a deterministic implementation. Turn it off.")
