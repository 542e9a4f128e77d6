"""What a sweep's file may say, and what is refused before anything runs."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from sweep.workers import DIM, LR, TINY, sweep_of
from vaelab.errors import ConfigError
from vaelab.sweep import Dimension, load_sweep, parse_sweep, run_sweep
from vaelab.sweep.check import check_sweep
from vaelab.sweep.proposals import propose


@pytest.mark.parametrize(
    ("dimension", "values"),
    [
        ({"low": 0.1, "high": 0.5, "step": 0.1}, [0.1, 0.2, 0.3, 0.4, 0.5]),
        ({"low": 1, "high": 10, "step": 4}, [1, 5, 9]),
        ({"low": 0, "high": 1, "step": 0.3}, [0.0, 0.3, 0.6, 0.9]),
        ({"low": 2, "high": 4}, [2, 3, 4]),
        ({"choices": [None, True, "a", {"kind": "vamp"}]}, [None, True, "a", {"kind": "vamp"}]),
    ],
)
def test_values_of_a_dimension(dimension: dict[str, Any], values: list[Any]):
    read = Dimension.model_validate(dimension)
    found = [read.value(position) for position in range(read.number or 0)]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]
    for value in values:
        assert read.from_optuna(read.to_optuna(value)) == value
        assert read.distribution()._contains(read.distribution().to_internal_repr(read.to_optuna(value)))


@pytest.mark.parametrize("dimension", [{"low": 0.1, "high": 1}, {"low": 1e-4, "high": 1e-1, "log": True}])
def test_a_range_of_reals_is_not_countable(dimension: dict[str, Any]):
    assert Dimension.model_validate(dimension).number is None


def test_values_are_set_on_the_experiment():
    sweep = parse_sweep(sweep_of(set={"training.epochs": 7, "data.validation": 50}))
    content = sweep.content({LR: 0.5, DIM: 3})
    assert content["training"]["optimiser"]["lr"] == 0.5
    assert content["training"]["epochs"] == 7
    assert content["model"]["prior"]["dim"] == 3
    assert content["data"]["validation"] == 50
    assert TINY["training"]["epochs"] == 3, "the experiment itself is as it was"


def test_the_path_of_the_experiment_begins_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    (tmp_path / "sub" / "sweep.json").write_text(json.dumps(sweep_of(experiment="../tiny.json")))
    assert load_sweep(tmp_path / "sub" / "sweep.json").experiment == TINY
    (tmp_path / "sub" / "sweep.json").write_text(json.dumps(sweep_of(experiment="tiny.json")))
    with pytest.raises(ConfigError, match=r"sub/tiny\.json: cannot be read"):
        load_sweep(tmp_path / "sub" / "sweep.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {}}, r"\$\.space: .*at least 1"),
        ({"methd": "grid"}, r"\$\.methd: unknown key\. Did you mean 'method'\?"),
        ({"method": "bayes"}, r"\$\.method: .*'grid', 'random' or 'tpe'"),
        ({"name": "../up"}, r"\$\.name"),
        ({"trials": 3}, r"'trials' has no meaning for a grid"),
        ({"method": "random"}, r"'trials' is missing"),
        ({"seeds": [1, 1]}, r"a seed stands twice"),
        ({"seeds": []}, r"\$\.seeds"),
        ({"seeds": [-1]}, r"\$\.seeds\[0\]"),
        ({"set": {LR: 1}}, rf"'{LR}' is in 'set' and in 'space'"),
        ({"space": {"seed": {"choices": [1, 2]}}}, r"'seed' is neither set nor varied; it follows from 'seeds'"),
        ({"space": {LR: {"low": 0.1, "high": 1.0}}}, rf"the range of '{LR}' has no end .* add a 'step'"),
        ({"space": {LR: {"low": 1, "high": 1}}}, rf"\$\.space\.{LR}: 'low' must be less than 'high'"),
        ({"space": {LR: {"low": 0, "high": 1, "log": True}}}, rf"\$\.space\.{LR}: .*begins above 0"),
        ({"space": {LR: {"low": 1, "high": 4, "log": True, "step": 1}}}, r"'log' or 'step', not both"),
        ({"space": {LR: {"choices": [1], "low": 0}}}, r"'choices' stand alone"),
        ({"space": {LR: {"choices": [1, 2, 1]}}}, r"a choice stands twice"),
        ({"space": {LR: {"lo": 1}}}, rf"\$\.space\.{LR}\.lo: unknown key"),
        ({"space": {LR: {"low": 1}}}, r"give 'choices', or 'low' and 'high'"),
        ({"pruning": "hyperband"}, r"\$\.pruning: .*'median' or 'successive_halving'"),
        ({"pruning": {"kind": "median", "reduction_factor": 2}}, r"'reduction_factor' has no meaning for 'median'"),
    ],
)
def test_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_sweep(sweep_of(**changes), "s.json")
    assert str(caught.value).startswith("s.json: $")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"space": {"training.batch_size": {"choices": [64, 0]}}},
            r"\$\.space\.training\.batch_size: with 0: \$\.training\.batch_size: .*greater than 0",
        ),
        (
            {"space": {"training.optimizer.lr": {"choices": [0.1]}}},
            r"\$\.space\.training\.optimizer\.lr: with 0\.1: \$\.training\.optimizer: unknown key\. "
            "Did you mean 'optimiser'",
        ),
        (
            {"space": {"evaluation.metrics.5.samples": {"low": 1, "high": 3}}},
            r"\$\.space\.evaluation\.metrics\.5\.samples: with 1: .*a list of 1",
        ),
        (
            {"space": {"model.posterior": {"choices": ["diagonal_normal", "vq"]}}},
            r"\$\.space\.model\.posterior: with \"vq\": posterior 'vq'.*prior 'standard_normal'",
        ),
        (
            {"space": {DIM: {"low": 2, "high": 3}}, "set": {"training.epoch": 2}},
            r"\$\.experiment with the first value of each dimension: \$\.training\.epoch: unknown key",
        ),
        (
            {"set": {"data.validation": 0}},
            r"no validation data, and only they.*chosen by its test data.*data\.validation",
        ),
        ({"metric": "elbo"}, r"\$\.metric: 'elbo' is no value of .*negative_elbo, distortion, rate"),
        ({"metric": "rate"}, r'\$\.better: .*"lower" or "higher"'),
    ],
)
def test_refused_before_anything_runs(changes: dict[str, Any], message: str, tmp_path: Path):
    sweep = parse_sweep(sweep_of(**changes), "s.json")
    with pytest.raises(ConfigError, match=message) as caught:
        check_sweep(sweep, "s.json")
    assert str(caught.value).startswith("s.json: $")
    with pytest.raises(ConfigError, match=message):
        run_sweep(sweep, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_direction_is_the_metrics_own():
    assert check_sweep(parse_sweep(sweep_of()), "s") == "lower"
    assert check_sweep(parse_sweep(sweep_of(metric="rate", better="higher")), "s") == "higher"


def test_an_experiment_may_be_incomplete_without_the_space():
    incomplete = {**TINY, "training": {"batch_size": 64}}
    sweep = sweep_of(experiment=incomplete, space={"training.epochs": {"choices": [1, 2]}})
    assert check_sweep(parse_sweep(sweep), "s") == "lower"


def test_a_grid_holds_each_combination_once():
    space = {LR: {"choices": [0.1, 0.2]}, DIM: {"low": 2, "high": 4}, "training.epochs": {"choices": [1, 2]}}
    sweep = parse_sweep(sweep_of(space=space))
    assert sweep.limit == 12
    found = [tuple(propose(sweep, "minimize", [None] * number).values()) for number in range(12)]
    assert found == list(itertools.product([0.1, 0.2], [2, 3, 4], [1, 2]))
