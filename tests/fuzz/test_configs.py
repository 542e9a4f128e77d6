"""Mutated experiments: each is valid, or is refused with a place and a remedy, before anything is built or read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fuzz.mutations import mutated, plausible
from fuzz.outcomes import attempt, fuzz
from vaelab import limits
from vaelab.build import build
from vaelab.config import Experiment, parse_experiment
from vaelab.metrics import check_metrics
from vaelab.reading import parse_json
from vaelab.registry import DATASETS


@pytest.fixture(autouse=True)
def _small_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(limits, "memory", lambda: 2**29)
    monkeypatch.chdir(tmp_path)


def parsed(text: str) -> Experiment:
    content: Any = parse_json(text, "my.json")
    if not isinstance(content, dict):
        pytest.skip("checked by load_experiment")
    experiment = parse_experiment(content, "my.json")
    again = parse_experiment(json.loads(experiment.to_json()))
    assert again == experiment, "what is written out reads the same"
    return experiment


def built(text: str) -> None:
    experiment = parsed(text)
    spec = DATASETS.build(experiment.data).spec
    build(experiment.model, experiment.objective, spec)
    check_metrics((*experiment.training.validation, *experiment.evaluation.metrics), spec)


@fuzz(200, 20_000, case=mutated())
def test_validation(text: str) -> None:
    attempt(lambda: parsed(text))


@fuzz(20, 4_000, case=plausible())
def test_building(text: str) -> None:
    attempt(lambda: built(text))
