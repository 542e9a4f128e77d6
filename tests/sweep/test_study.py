"""The order of work, proposals, pruning and results, with outcomes that are made up: nothing is trained."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState
from scipy import stats

from sweep.workers import DIM, LR, sweep_of
from vaelab.errors import ConfigError, RunError
from vaelab.sweep import parse_sweep, sweep_status
from vaelab.sweep.proposals import parameters_of
from vaelab.sweep.results import _short, collect
from vaelab.sweep.study import Job, Study, create_folder, open_folder

Loss = Callable[[dict[str, Any], int], float]


def study_of(folder: Path, **changes: Any) -> Study:
    sweep = parse_sweep(sweep_of(**changes))
    folder = folder / sweep.name
    return Study(open_folder(sweep, folder) or create_folder(sweep, sweep.better or "lower", folder), folder)


def done(study: Study, job: Job, **outcome: Any) -> None:
    study.record(job.trial, job.seed, outcome)
    job.claim.release()


def run_all(study: Study, loss: Loss) -> list[tuple[int, int]]:
    """One worker's work; the trials and seeds in their order."""
    order = []
    while (job := study.next_job()) is not None:
        order.append((job.trial.number, job.seed))
        done(study, job, value=loss(parameters_of(study.sweep, job.trial), job.seed))
    return order


def test_seeds_of_a_trial_come_before_the_next_trial(tmp_path: Path):
    study = study_of(tmp_path, seeds=[3, 5])
    order = run_all(study, lambda parameters, seed: parameters[LR] * seed)
    assert order == [(trial, seed) for trial in range(4) for seed in (3, 5)]
    assert study.finished
    by_hand = {
        (lr, dim): (np.mean([lr * 3, lr * 5]), np.std([lr * 3, lr * 5], ddof=1) / math.sqrt(2))
        for lr in (0.01, 0.001)
        for dim in (2, 3)
    }
    results = collect(study)
    for trial in results.trials:
        mean, stderr = by_hand[trial.parameters[LR], trial.parameters[DIM]]
        assert trial.value == pytest.approx(mean)
        assert trial.stderr == pytest.approx(stderr)
    assert [trial.number for trial in results.trials] == [2, 3, 0, 1], "the best first, and then in their order"


def test_two_workers_share_the_seeds_and_nothing_is_given_out_twice(tmp_path: Path):
    one, two = study_of(tmp_path, seeds=[0, 1]), study_of(tmp_path, seeds=[0, 1])
    jobs = [worker.next_job() for _ in range(5) for worker in (one, two)]
    assert jobs[8:] == [None, None]
    assert [(job.trial.number, job.seed) for job in jobs[:8] if job] == [(t, s) for t in range(4) for s in (0, 1)]
    assert not one.finished
    for job in jobs[:8]:
        assert job is not None
        done(two, job, value=1.0)
    assert one.finished
    assert two.next_job() is None


def test_a_failed_seed_fails_the_trial_and_spares_the_others(tmp_path: Path):
    study = study_of(tmp_path, seeds=[0, 1])
    first, second = study.next_job(), study.next_job()
    assert first is not None
    assert second is not None
    done(study, first, error="NonFiniteError: loss became NaN")
    done(study, second, value=1.0)  # was under way, and comes too late
    third = study.next_job()
    assert third is not None
    assert third.trial.number == 1
    third.claim.release()
    [running, failed] = collect(study).trials
    assert (running.status, failed.status, failed.value) == ("running", "failed", None)
    assert failed.error == "NonFiniteError: loss became NaN"


def test_with_pruning_the_first_seed_decides(tmp_path: Path):
    study = study_of(tmp_path, seeds=[0, 1, 2], pruning="median")
    first = study.next_job()
    other = study.next_job()
    assert first is not None
    assert other is not None
    assert (first.trial.number, first.seed) == (0, 0)
    assert (other.trial.number, other.seed) == (1, 0), "the other seeds wait for the first"
    done(study, first, value=1.0)
    done(study, other, value=9.0, pruned=True)
    order = run_all(study, lambda parameters, seed: 1.0)
    assert order[:2] == [(0, 1), (0, 2)]
    assert not [job for job in order if job[0] == 1]
    assert collect(study).counts == {"complete": 3, "running": 0, "pruned": 1, "failed": 0}


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_median_pruning(tmp_path: Path, better: str):
    """Against the median of the finished trials at the same validation, after the warm-up and the first trials."""
    sign = 1 if better == "lower" else -1
    space = {LR: {"choices": [1, 2, 3, 4, 5, 6]}}
    study = study_of(tmp_path, space=space, better=better, pruning={"kind": "median", "startup_trials": 3, "warmup": 1})
    for base in (10.0, 20.0, 30.0):
        job = study.next_job()
        assert job is not None
        for validation in (1, 2, 3):
            study.report(job.trial, validation, sign * (base - validation))
            assert not study.should_stop(job.trial)
        done(study, job, value=sign * (base - 3))
    for value, stops in ((17.5, False), (18.5, True)):  # the median of the second validation is 18
        job = study.next_job()
        assert job is not None
        study.report(job.trial, 1, sign * 99.0)
        assert not study.should_stop(job.trial), "the warm-up"
        study.report(job.trial, 2, sign * value)
        assert study.should_stop(job.trial) == stops
        job.claim.release()


def test_successive_halving(tmp_path: Path):
    """Of the trials that reached a rung the best half passes; rungs are at 2, 4 and 8 validations."""
    space = {LR: {"choices": [1, 2, 3, 4]}}
    pruning = {"kind": "successive_halving", "warmup": 1, "reduction_factor": 2}
    study = study_of(tmp_path, space=space, pruning=pruning)
    stopped = []
    for base in (1.0, 5.0, 4.0, 0.5):
        job = study.next_job()
        assert job is not None
        for validation in range(1, 5):
            study.report(job.trial, validation, base)
            if study.should_stop(job.trial):
                stopped.append((base, validation))
                break
        done(study, job, value=base)
    assert stopped == [(5.0, 2), (4.0, 2)]


def test_random_draws_depend_on_their_number_alone(tmp_path: Path):
    space = {LR: {"low": 1e-4, "high": 1.0, "log": True}, DIM: {"low": 2, "high": 9}}
    random = {"space": space, "method": "random", "trials": 40}
    study = study_of(tmp_path / "a", **random)
    run_all(study, lambda parameters, seed: parameters[LR])
    drawn = [parameters_of(study.sweep, trial) for trial in study.trials()]
    other = study_of(tmp_path / "b", **random)
    run_all(other, lambda parameters, seed: -parameters[LR])
    assert drawn == [parameters_of(other.sweep, trial) for trial in other.trials()]
    logarithms = [math.log10(parameters[LR]) for parameters in drawn]
    assert stats.kstest(logarithms, stats.uniform(-4, 4).cdf).pvalue > 0.01
    assert {parameters[DIM] for parameters in drawn} == set(range(2, 10))
    reseeded = study_of(tmp_path / "c", **random, seed=1)
    job = reseeded.next_job()
    assert job is not None
    assert parameters_of(reseeded.sweep, job.trial) != drawn[0]


def test_tpe_comes_closer_to_an_optimum_than_random(tmp_path: Path):
    space = {LR: {"low": 0.0, "high": 1.0}, "model.dropout": {"low": 0.0, "high": 1.0}}
    late = {}
    for method in ("random", "tpe"):
        study = study_of(tmp_path / method, space=space, method=method, trials=40)
        run_all(study, lambda p, seed: (p[LR] - 0.3) ** 2 + (p["model.dropout"] - 0.8) ** 2)
        late[method] = np.median([trial.value for trial in study.trials()[20:]])
    assert late["tpe"] < late["random"] / 2


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_no_configuration_is_tried_twice(tmp_path: Path, method: str):
    space = {LR: {"choices": [1, 2, 3, 4]}, DIM: {"low": 2, "high": 5}}
    study = study_of(tmp_path, space=space, method=method, trials=100)
    assert study.sweep.limit == 16
    run_all(study, lambda parameters, seed: parameters[LR])
    drawn = [json.dumps(parameters_of(study.sweep, trial)) for trial in study.trials()]
    assert len(drawn) == len(set(drawn)) == 16


def test_importance(tmp_path: Path):
    space = {LR: {"low": 0.0, "high": 1.0}, DIM: {"low": 2, "high": 9}, "training.epochs": {"choices": [1]}}
    study = study_of(tmp_path, space=space, method="random", trials=20)
    for _ in range(9):
        job = study.next_job()
        assert job is not None
        done(study, job, value=10 * parameters_of(study.sweep, job.trial)[LR])
    assert study.importance() == {}
    run_all(study, lambda parameters, seed: 10 * parameters[LR] + 0.1 * parameters[DIM])
    shares = study.importance()
    assert shares.keys() == {LR, DIM}, "what does not vary has none"
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[LR] > 0.8


def test_more_trials_may_be_asked_for_and_nothing_else_may_change(tmp_path: Path):
    changes: dict[str, Any] = {"method": "random", "space": {LR: {"low": 0.0, "high": 1.0}}}
    study = study_of(tmp_path, **changes, trials=2)
    assert len(run_all(study, lambda parameters, seed: 1.0)) == 2
    more = study_of(tmp_path, **changes, trials=3)
    assert len(run_all(more, lambda parameters, seed: 1.0)) == 1
    with pytest.raises(ConfigError, match=r"holds another sweep of this name; there differ: seeds\."):
        study_of(tmp_path, **changes, trials=3, seeds=[1])
    with pytest.raises(ConfigError, match=r"there differ: better\."):
        study_of(tmp_path, **changes, trials=3, better="higher")


def test_status(tmp_path: Path):
    with pytest.raises(RunError, match="has not begun"):
        sweep_status(sweep_of(), tmp_path)
    assert not list(tmp_path.iterdir())
    study = study_of(tmp_path)
    first, second = study.next_job(), study.next_job()
    assert first is not None
    assert second is not None
    done(study, first, value=3.0)
    results = sweep_status(sweep_of(), tmp_path)
    assert results.counts == {"complete": 1, "running": 1, "pruned": 0, "failed": 0}
    assert list(results.workers) == ["0001-seed-0"]
    assert [state.state for state in study.trials()] == [TrialState.COMPLETE, TrialState.RUNNING]
    second.claim.release()
    assert sweep_status(sweep_of(), tmp_path).workers == {}


def test_short_names():
    assert _short(
        ["training.optimiser.lr", "objective.divergences.0.weight", "model.prior.dim", "model.posterior.dim"]
    ) == {
        "training.optimiser.lr": "lr",
        "objective.divergences.0.weight": "weight",
        "model.prior.dim": "prior.dim",
        "model.posterior.dim": "posterior.dim",
    }
    assert _short(["a.0", "a.1"]) == {"a.0": "a.0", "a.1": "a.1"}
