"""Each schedule at its start, its middle and its end."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from vaelab.registry import SCHEDULES, ComponentConfig
from vaelab.schedules import Scalar, schedule
from vaelab.types import StepContext

PER_EPOCH, TOTAL = 10, 200


def make(value: Any) -> ComponentConfig:
    return TypeAdapter(Scalar).validate_python(value)


def at(value: Any, step: int) -> float:
    return schedule(make(value))(StepContext(step, PER_EPOCH, TOTAL, 1000))


CASES: list[tuple[Any, dict[int, float]]] = [
    (2.5, {0: 2.5, 100: 2.5, 10_000: 2.5}),
    (3, {0: 3.0}),
    ({"kind": "constant", "value": 0.5}, {0: 0.5, 100: 0.5}),
    ({"kind": "linear", "start": 1.0, "end": 3.0, "steps": 100}, {0: 1, 25: 1.5, 50: 2, 100: 3, 101: 3, 999: 3}),
    ({"kind": "linear", "start": 0.0, "end": 1.0, "epochs": 4}, {0: 0, 10: 0.25, 20: 0.5, 40: 1, 41: 1}),
    ({"kind": "linear", "start": 0.0, "end": 1.0}, {0: 0, 100: 0.5, 200: 1}),
    ("linear", {0: 0, 100: 0.5, 200: 1}),
    ({"kind": "linear", "start": 1.0, "end": 0.0, "epochs": 0.05}, {0: 1, 1: 0}),
    ({"kind": "cosine", "start": 1.0, "end": 0.2, "steps": 100}, {0: 1, 50: 0.6, 100: 0.2, 500: 0.2}),
    (
        {"kind": "cosine", "start": 1.0, "end": 0.0, "steps": 110, "warmup_steps": 10},
        {0: 0.1, 4: 0.5, 9: 1, 10: 1, 60: 0.5, 110: 0, 111: 0},
    ),
    ({"kind": "exponential", "start": 1.0, "factor": 0.1, "steps": 10}, {0: 1, 5: 0.1**0.5, 10: 0.1, 20: 0.01}),
    ({"kind": "exponential", "start": 2.0, "factor": 0.5, "epochs": 1}, {0: 2, 10: 1, 20: 0.5}),
    (
        {"kind": "piecewise", "values": [3, 2, 1], "boundaries": [2, 5], "unit": "steps"},
        {0: 3, 1: 3, 2: 2, 4: 2, 5: 1, 99: 1},
    ),
    ({"kind": "piecewise", "values": [3, 2], "boundaries": [2]}, {0: 3, 19: 3, 20: 2}),
    ({"kind": "piecewise", "values": [3], "boundaries": []}, {0: 3, 50: 3}),
    (
        {"kind": "cyclical", "start": 0.0, "end": 1.0, "cycles": 2, "ramp": 0.5, "steps": 80},
        {0: 0, 10: 0.5, 20: 1, 30: 1, 39: 1, 40: 0, 50: 0.5, 60: 1, 80: 1, 81: 1, 120: 1},
    ),
    ({"kind": "cyclical", "cycles": 1, "ramp": 1.0, "epochs": 2}, {0: 0, 10: 0.5, 20: 1}),
    (
        {"kind": "sigmoid", "start": 2.0, "end": 4.0, "steepness": 10.0, "steps": 100},
        {0: 2 + 2 / (1 + math.exp(5)), 50: 3, 100: 2 + 2 / (1 + math.exp(-5)), 10_000: 4},
    ),
    ({"kind": "sigmoid", "steepness": 1e6, "steps": 100}, {0: 0, 50: 0.5, 100: 1}),
]


@pytest.mark.parametrize(("value", "expected"), CASES, ids=lambda item: str(item)[:60])
def test_values(value: Any, expected: dict[int, float]):
    assert {step: at(value, step) for step in expected} == pytest.approx(expected, abs=1e-9)


def test_every_schedule_has_a_case():
    tested = {make(value).kind for value, _ in CASES}
    assert {entry.kind for entry in SCHEDULES if entry.module.startswith("vaelab.")} <= tested


SPANS = [entry.kind for entry in SCHEDULES if "epochs" in entry.config.model_fields]


@pytest.mark.parametrize("kind", SPANS)
def test_steps_and_epochs_are_units_of_one_length(kind: str):
    for step in (0, 7, 15, 29, 30, 31, 400):
        assert at({"kind": kind, "steps": 30}, step) == at({"kind": kind, "epochs": 3}, step)


@pytest.mark.parametrize("kind", SPANS)
def test_two_units_at_once_are_refused(kind: str):
    with pytest.raises(ValidationError, match="not both"):
        make({"kind": kind, "steps": 30, "epochs": 3})


@pytest.mark.parametrize("kind", SPANS)
def test_without_a_unit_it_takes_the_run(kind: str):
    for step in (0, 50, 100, 200, 300):
        assert at({"kind": kind}, step) == at({"kind": kind, "steps": TOTAL}, step)


@pytest.mark.parametrize("kind", [entry.kind for entry in SCHEDULES])
def test_constant_flag_tells_the_truth(kind: str):
    built = schedule(SCHEDULES[kind].config.example())
    values = {built(StepContext(step, PER_EPOCH, TOTAL, 1000)) for step in range(0, 400, 7)}
    assert built.constant == (len(values) == 1)
    assert all(math.isfinite(value) for value in values)


@pytest.mark.parametrize(
    "value",
    [
        True,
        None,
        [1.0],
        float("nan"),
        float("inf"),
        {"kind": "linear", "steps": 0},
        {"kind": "linear", "epochs": -1},
        {"kind": "piecewise", "values": [1, 2], "boundaries": [3, 5]},
        {"kind": "piecewise", "values": [1, 2, 3], "boundaries": [5, 3]},
        {"kind": "cyclical", "ramp": 0.0},
        {"kind": "no_such_schedule"},
    ],
    ids=str,
)
def test_nonsense_is_refused(value: Any):
    with pytest.raises(ValidationError):
        make(value)
