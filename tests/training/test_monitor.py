"""Weights, probes and the monitor on real trainings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import vaelab
from vaelab.health import Finding, Monitor
from vaelab.health.probe import Probe
from vaelab.health.weights import Movement, Sizes
from vaelab.runs import RunDirectory
from vaelab.training import StoppedError

ROOT = Path(__file__).resolve().parents[2]


def short(name: str) -> dict[str, Any]:
    """An experiment that ships, on small digits, for a hundred steps."""
    content = json.loads((ROOT / "experiments" / f"{name}.json").read_text())
    content["data"] = {"kind": "digits", "binarisation": content["data"].get("binarisation", "none")}
    content["training"] = {**content["training"], "epochs": None, "steps": 100, "log_every": 50}
    return {**content, "evaluation": {"metrics": ["negative_elbo"], "figures": []}}


def findings(run: vaelab.Run) -> list[str]:
    return [line["finding"]["kind"] for line in run.directory.health_lines() if line["split"] == "finding"]


@pytest.mark.parametrize(("name", "slow"), [("notebook", True), ("baseline", False)])
def test_the_notebooks_learning_rate_is_too_small_and_the_others_are_not(name: str, slow: bool, tmp_path: Path):
    run = vaelab.train(short(name), tmp_path, device="cpu")
    assert findings(run) == (["learning_rate_too_small"] if slow else [])
    assert any(line["split"] == "probe" for line in run.directory.health_lines())


def test_weights_are_seen_moving_at_the_full_rate():
    model = nn.Linear(10, 10)
    movement = Movement(model)
    line = {"step": 50, "epoch": 0.5, "lr": 1e-6}
    assert movement.look(line) == [], "too early"
    assert movement.look({**line, "step": 100, "lr": 1e-5}) == [], "the first rate is that which is compared"
    assert movement.look({**line, "step": 200, "lr": 1e-3}) == [], "warming up"
    with torch.no_grad():
        model.weight.mul_(1.005)
    [finding] = movement.look({**line, "step": 600, "lr": 1e-3})
    assert "0.25 % of its norm" in finding.seen, "0.5 % in 400 steps, scaled by the square root"
    assert movement.look({**line, "step": 700, "lr": 1e-3}) == [], "judged once"
    moving = nn.Linear(10, 10)
    movement = Movement(moving)
    assert movement.look({**line, "step": 100}) == []
    with torch.no_grad():
        moving.weight.mul_(1.2)
    assert movement.look({**line, "step": 200}) == []


def test_parameters_and_scales_that_run_off():
    model = nn.ParameterDict({"weight": torch.ones(3), "log_scale": torch.zeros(2)})
    sizes = Sizes(model)
    assert sizes.look({"step": 1}) == []
    with torch.no_grad():
        model["weight"].fill_(1e4)
        model["log_scale"].copy_(torch.tensor([0.0, -9.0]))
    one, two = sizes.look({"step": 2})
    assert (one.kind, one.subject) == ("exploding_parameter", "weight")
    assert (two.kind, two.subject) == ("exploding_scale", "log_scale")
    assert "vanishes" in two.title


def test_a_training_with_probes_is_the_same_as_one_without(
    make_trainer: Callable[..., Any], tmp_path: Path, tiny_splits: Callable[..., Any]
):
    plain, _ = make_trainer("hierarchy", folder="plain")
    plain.train()
    watched, recorder = make_trainer("hierarchy", folder="watched")
    directory = RunDirectory(tmp_path)
    options = {"seed": 0, "batch": 10_000, "step": 0, "total_steps": watched.total_steps}
    monitor = Monitor(directory, watched.model, tiny_splits(), **options)
    recorder.line = monitor.line
    watched.train()
    for one, two in zip(plain.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(one, two)
    lines = [line for line in directory.health_lines() if line["split"] == "probe"]
    assert len(lines) > 3
    assert {"rate", "rate/group_0", "rate/group_1"} <= set(lines[0])


def test_probes_follow_from_the_step_and_a_failing_one_stops_nothing(
    make_trainer: Callable[..., Any], tiny_splits: Callable[..., Any], tmp_path: Path, caplog: Any, monkeypatch: Any
):
    trainer, _ = make_trainer()
    data = tiny_splits()
    probe = Probe(trainer.model, data, 0, batch=24, total_steps=1000)
    due = [step for step in range(1, 201) if probe.line(step, 0.0)]
    assert due == [40, 80, 120, 160, 200], "40 times as many data between two as one looks at"
    again = Probe(trainer.model, data, 0, batch=24, total_steps=1000, last=160)
    assert [step for step in range(161, 201) if again.line(step, 0.0)] == [200]
    assert probe.line(1000, 1.0), "one at the end"

    monitor = Monitor(RunDirectory(tmp_path), trainer.model, data, seed=0, batch=10_000, step=0, total_steps=10)

    def fails(step: int, epoch: float) -> None:
        raise ZeroDivisionError("of a plugin")

    monkeypatch.setattr(monitor._probe, "line", fails)
    line = {"split": "train", "step": 1, "epoch": 0.1, "loss": 1.0, "lr": 0.1}
    assert monitor.line(line) == []
    assert "of a plugin" in caplog.text
    assert monitor.line({**line, "step": 2}) == []


def test_a_resumed_run_has_the_same_probes_and_says_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    content = short("notebook")
    content["training"] |= {"steps": 80, "log_every": 10, "checkpoint_every": 20}
    whole = vaelab.train(content, tmp_path, device="cpu")

    def stops(self: Monitor, line: dict[str, Any]) -> list[Finding]:
        if line["step"] == 70:
            raise StoppedError("here")
        return real(self, line)

    real = Monitor.line
    monkeypatch.setattr(Monitor, "line", stops)
    with pytest.raises(StoppedError):
        vaelab.train({**content, "name": "parts"}, tmp_path, device="cpu")
    monkeypatch.setattr(Monitor, "line", real)
    [path] = (tmp_path / "parts").iterdir()
    resumed = vaelab.resume(path, device="cpu")
    assert findings(whole) == findings(resumed) == ["learning_rate_too_small"]
    assert resumed.directory.health_lines() == whole.directory.health_lines()
