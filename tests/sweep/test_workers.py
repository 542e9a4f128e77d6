"""Several workers, and workers that are killed: no run is lost, none is done twice, and the numbers are the same."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sweep.workers import DIM, LR, MOMENTS, TINY, command, finished_runs, start, sweep_of, work
from vaelab.sweep import Results, run_sweep
from vaelab.sweep.watch import Watch

#: Two configurations with two seeds.
SWEEP = sweep_of(space={LR: {"choices": [0.01, 0.001]}}, seeds=[0, 1])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run_sweep(SWEEP, tmp_path_factory.mktemp("undisturbed"))


def values(results: Results) -> dict[tuple[int, int], float]:
    return {(trial.number, seed): out["value"] for trial in results.trials for seed, out in trial.seeds.items()}


def each_once(folder: Path, number: int) -> None:
    """Each run is there once, finished, with each step's line once, and nothing is claimed any more."""
    runs = finished_runs(folder)
    assert len(runs) == number
    assert len({run.parent for run in runs}) == number
    for run in runs:
        assert json.loads((run / "manifest.json").read_text())["status"] == "finished"
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        steps = [line["step"] for line in lines if line["split"] == "validation"]
        assert steps == [2, 4, 6]
    assert not list(folder.glob("claims/*.claim"))


def test_a_run_has_the_values_of_its_configuration_and_seed(undisturbed: Results):
    assert len(set(values(undisturbed).values())) == 4
    for trial in undisturbed.trials:
        for seed, outcome in trial.seeds.items():
            config = json.loads((undisturbed.folder / outcome["run"] / "config.json").read_text())
            assert config["seed"] == seed
            assert config["training"]["optimiser"]["lr"]["value"] == trial.parameters[LR]
    each_once(undisturbed.folder, 4)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed(moment: str, undisturbed: Results, tmp_path: Path):
    worker = start(work, SWEEP, str(tmp_path), moment, 1)
    worker.join()
    assert worker.exitcode == -signal.SIGKILL
    results = run_sweep(SWEEP, tmp_path)
    assert values(results) == values(undisturbed)
    each_once(results.folder, 4)


def test_interrupted(undisturbed: Results, tmp_path: Path):
    (tmp_path / "sweep.json").write_text(json.dumps(SWEEP))
    worker = start(command, ["sweep", "sweep.json"], str(tmp_path), "interrupt", 0)
    worker.join()
    assert worker.exitcode == 130
    folder = tmp_path / "sweeps" / "small"
    assert not list(folder.glob("claims/*.claim")), "the claim is given back"
    [run] = finished_runs(folder)
    assert json.loads((run / "manifest.json").read_text())["status"] == "stopped"
    assert list((run / "checkpoints").glob("step-*"))
    results = run_sweep(SWEEP, tmp_path / "sweeps")
    assert values(results) == values(undisturbed)
    each_once(folder, 4)


def test_a_worker_that_was_taken_for_dead_leaves_its_run_to_others(
    undisturbed: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    look, lost = Watch.log, []

    def lose_once(self: Watch, line: Mapping[str, Any]) -> None:
        if self.job.trial.number == 1 and self.directory.history() and not lost:
            lost.append(self.directory.path)
            self.job.claim.lost = True
        look(self, line)

    monkeypatch.setattr(Watch, "log", lose_once)
    results = run_sweep(SWEEP, tmp_path)
    assert len(lost) == 1
    assert values(results) == values(undisturbed)
    each_once(results.folder, 4)


def test_three_at_once_and_one_is_killed(tmp_path: Path):
    content = sweep_of(space={LR: {"choices": [0.01, 0.003, 0.001]}, DIM: {"low": 2, "high": 3}})
    workers = [start(work, content, str(tmp_path)) for _ in range(3)]
    folder = tmp_path / "small"
    end = time.monotonic() + 100
    while not list(folder.glob("runs/*/*/metrics.jsonl")):
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(workers[0].pid or 0, signal.SIGKILL)
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [-signal.SIGKILL, 0, 0]
    stored = json.loads((folder / "sweep.json").read_text())
    assert stored["counts"] == {"complete": 6, "running": 0, "pruned": 0, "failed": 0}
    each_once(folder, 6)


def test_the_best_experiment_repeats_the_best_run(undisturbed: Results, tmp_path: Path):
    import vaelab

    best = undisturbed.best
    assert best is not None
    assert best.value == min(trial.value for trial in undisturbed.trials if trial.value is not None)
    run = vaelab.train(undisturbed.folder / "best.json", tmp_path)
    assert run.experiment.name == "small-best"
    assert run.history[-1]["negative_elbo"] == best.seeds[0]["value"]


def test_early_stopping_takes_the_value_of_the_weights_that_are_kept(tmp_path: Path):
    """At this learning rate the bound gets worse in the end, and the run keeps earlier weights."""
    stop = {"early_stopping": {"patience": 1}, "epochs": 30}
    experiment: dict[str, Any] = {**TINY, "training": {**TINY["training"], **stop}}
    content = sweep_of(experiment=experiment, space={LR: {"choices": [0.3]}})
    [trial] = run_sweep(content, tmp_path).trials
    [run] = finished_runs(tmp_path / "small")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    seen = [line["negative_elbo"] for line in lines if line["split"] == "validation"]
    assert trial.value == min(seen)
    assert trial.value < seen[-1]
