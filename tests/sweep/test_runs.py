"""Sweeps that train: pruning, trials that fail, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from command_line import call
from sweep.workers import LR, TINY, finished_runs, sweep_of
from vaelab.errors import DataError
from vaelab.sweep import run_sweep


def validations(run: Path) -> int:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return sum(line["split"] == "validation" for line in lines)


def test_a_bad_trial_is_pruned_and_its_other_seeds_are_not_run(tmp_path: Path):
    """A learning rate of nearly 0 is worse than the first trial from its first validation on."""
    pruning = {"kind": "median", "startup_trials": 1, "warmup": 1}
    content = sweep_of(space={LR: {"choices": [0.03, 1e-9]}}, seeds=[0, 1], pruning=pruning)
    [good, bad] = run_sweep(content, tmp_path).trials
    assert (good.status, bad.status) == ("complete", "pruned")
    assert bad.value is None
    runs = finished_runs(tmp_path / "small")
    assert [run.parent.name for run in runs] == ["small-0000-seed-0", "small-0000-seed-1", "small-0001-seed-0"]
    assert [validations(run) for run in runs] == [3, 3, 2]
    assert bad.seeds[0]["value"] > good.seeds[0]["value"]
    assert json.loads((runs[2] / "manifest.json").read_text())["status"] == "stopped"


def test_a_trial_whose_loss_is_not_finite_fails_and_the_sweep_goes_on(tmp_path: Path):
    training = {**TINY["training"], "optimiser": {"kind": "sgd", "lr": 0.01}}
    content = sweep_of(experiment={**TINY, "training": training}, space={LR: {"choices": [1e30, 0.001]}})
    results = run_sweep(content, tmp_path)
    [good, bad] = results.trials
    assert (good.parameters[LR], good.status) == (0.001, "complete")
    assert bad.status == "failed"
    assert bad.error is not None
    assert "NaN or infinite" in bad.error


def test_a_combination_that_cannot_be_built_fails(tmp_path: Path):
    """Each value fits with the first of the other dimension; the last pair does not."""
    space: dict[str, Any] = {
        "data.binarisation": {"choices": ["threshold", "none"]},
        "model.likelihood": {"choices": [{"kind": "bernoulli", "grey": True}, "bernoulli"]},
    }
    results = run_sweep(sweep_of(space=space), tmp_path)
    assert results.counts == {"complete": 3, "running": 0, "pruned": 0, "failed": 1}
    failed = results.trials[-1]
    assert list(failed.parameters.values()) == ["none", "bernoulli"]
    assert failed.error is not None
    assert failed.error.startswith("BuildError: ")


def test_missing_data_are_no_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A machine without the data must not fail the trials of all others."""
    from vaelab.datasets.digits import Digits

    content = sweep_of(space={LR: {"choices": [0.01]}})
    load = Digits.load

    def missing(self: Digits) -> Any:
        if list(tmp_path.glob("small/runs/*")):
            raise DataError("no digits here")
        return load(self)

    with monkeypatch.context() as patch:
        patch.setattr(Digits, "load", missing)
        with pytest.raises(DataError, match="no digits here"):
            run_sweep(content, tmp_path)
    assert not list(tmp_path.glob("small/claims/*.claim"))
    assert run_sweep(content, tmp_path).counts["complete"] == 1


def test_command(tmp_path: Path):
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    content = sweep_of(experiment="tiny.json", space={LR: {"choices": [0.01, 0.001]}}, seeds=[0, 1])
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    early = call("sweep", "sweep.json", "--status", cwd=tmp_path)
    assert early.code == 4
    assert "has not begun" in early.err
    done = call("sweep", "sweep.json", cwd=tmp_path)
    assert done.code == 0, done.err
    for text in (
        "trial 0 seed 1  negative_elbo",
        "trial 1  complete  negative_elbo",
        "lr=0.001  (2 of 2)",
        "Sweep small: 2 complete, of 2",
        "negative_elbo ↓",
        "standard error of 2 seeds",
        "sweeps/small/best.json",
    ):
        assert text in done.out, (text, done.out)
    stored = json.loads((tmp_path / "sweeps" / "small" / "sweep.json").read_text())
    for option in ("--json", "--status"):
        shown = call("sweep", "sweep.json", "--json", option, cwd=tmp_path)
        assert json.loads(shown.out) == stored
    validated = call("validate", "sweeps/small/best.json", cwd=tmp_path)
    assert validated.code == 0, validated.err
    evaluated = call("evaluate", "sweeps/small/runs/small-0001-seed-1", cwd=tmp_path)
    assert evaluated.code == 0, evaluated.err


def test_the_command_line_imports_optuna_for_a_sweep_alone():
    code = "import sys, vaelab.cli; print([m for m in ('optuna', 'torch', 'sqlalchemy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
