"""Runs that older versions wrote are read, evaluated and gone on with: one of each format is kept in tests/fixtures.

A new format of runs or checkpoints needs a step in vaelab/migrations.py and a folder here.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import vaelab
from vaelab import run_directory
from vaelab.errors import RunError
from vaelab.migrations import CHECKPOINT, Migrations
from vaelab.records import read_lines
from vaelab.training.checkpoint import checkpoints, load_checkpoint

FIXTURES = Path(__file__).parents[1] / "fixtures"
FORMATS = sorted(FIXTURES.glob("format-*"))


def close(found: Any, expected: Any) -> None:
    assert found == (expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-3, abs=1e-3))


def test_each_format_has_a_stored_run() -> None:
    assert {path.name for path in FORMATS} == {f"format-{number + 1}" for number in range(CHECKPOINT.current)}
    for path in FORMATS:
        [checkpoint, *_] = checkpoints(path / "stopped" / "checkpoints")
        assert f"format-{json.loads((checkpoint / 'state.json').read_text())['format']}" == path.name


@pytest.mark.parametrize("stored", FORMATS, ids=lambda path: path.name)
def test_an_old_run_is_gone_on_with_and_read(stored: Path, tmp_path: Path) -> None:
    shutil.copytree(stored / "stopped", tmp_path / "run")
    resumed = vaelab.resume(tmp_path / "run")
    old = vaelab.load_run(stored / "finished", "cpu")
    # what the version that wrote it got from the same run, never stopped; other machines add in another order
    for line, expected in zip(read_lines(tmp_path / "run" / "metrics.jsonl"), old.history, strict=True):
        assert line.keys() == expected.keys()
        for name, value in expected.items():
            # the draws of an evaluation may change between versions
            if line["split"] == "train" or name in ("split", "step", "epoch"):
                close(line[name], value)
    weights = load_file(tmp_path / "run" / "weights.safetensors")
    for name, value in load_file(stored / "finished" / "weights.safetensors").items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4)
        assert torch.equal(old.model.state_dict()[name], value)
    again = vaelab.experiment.evaluate(old.model, old.data, old.experiment.evaluation)
    close(resumed.evaluation["values"]["negative_elbo"]["value"], again.values["negative_elbo"].value)
    # within its error
    before = old.evaluation["values"]["negative_elbo"]
    assert again.values["negative_elbo"].value == pytest.approx(before["value"], abs=3 * before["stderr"])


def test_steps_are_applied_in_order() -> None:
    formats = Migrations("thing", 3, {1: lambda c: {**c, "a": 1}, 2: lambda c: {**c, "b": c["a"] + 1}})
    assert formats.apply({}, 1, Path("x")) == {"a": 1, "b": 2}
    assert formats.apply({"a": 5}, 2, Path("x")) == {"a": 5, "b": 6}
    assert formats.apply({}, 3, Path("x")) == {}
    with pytest.raises(RunError, match=r"thing format 4 is of a newer vaelab; this one reads up to 3"):
        formats.apply({}, 4, Path("x"))
    with pytest.raises(RunError, match="none that vaelab has written"):
        formats.apply({}, None, Path("x"))
    with pytest.raises(AssertionError):
        Migrations("thing", 3, {1: dict})


def test_a_run_of_a_made_up_older_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this version had renamed a key of the config: old runs are read, and written anew when gone on with."""

    def renamed(content: dict[str, Any]) -> dict[str, Any]:
        training = dict(content["config"]["training"])
        if "batch" in training:
            training["batch_size"] = training.pop("batch")
        return {**content, "config": {**content["config"], "training": training}}

    run = tmp_path / "run"
    shutil.copytree(FORMATS[0] / "stopped", run)
    config = json.loads((run / "config.json").read_text())
    config["training"]["batch"] = config["training"].pop("batch_size")
    (run / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(run_directory, "RUN", Migrations("run", 2, {1: renamed}))
    assert vaelab.load_run(run, "cpu").experiment.training.batch_size == 32
    vaelab.resume(run)
    assert json.loads((run / "config.json").read_text())["training"]["batch_size"] == 32
    assert json.loads((run / "manifest.json").read_text())["format"] == 2
    monkeypatch.undo()
    with pytest.raises(RunError, match="run format 2 is of a newer vaelab"):
        vaelab.load_run(run, "cpu")


def test_an_old_checkpoint_gets_what_new_ones_hold() -> None:
    [checkpoint, *_] = checkpoints(FIXTURES / "format-1" / "stopped" / "checkpoints")
    assert "last_line" not in json.loads((checkpoint / "state.json").read_text())
    state = load_checkpoint(checkpoint)[1]
    assert state["last_line"] is None
    assert state["skipped"] == 0
