"""Runs that are killed (kill -9) at random moments, and gone on with, end with the bits of a run that was left alone."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from faults.runs import EXPERIMENTS, begun, experiment, finished, killed

#: What is waited for before a kill: nothing but some time, a line of metrics.jsonl, or the end of the training.
AIMS = ("moment", "line", "weights")


def content(run: Path) -> dict[str, Any]:
    """All that must not depend on interruptions."""
    evaluation = json.loads((run / "evaluation.json").read_text())
    return {
        "weights": (run / "weights.safetensors").read_bytes(),
        "metrics": (run / "metrics.jsonl").read_text(),
        "evaluation": {key: value for key, value in evaluation.items() if key != "run"},
        "figures": {path.name: path.read_bytes() for path in (run / "figures").glob("*.png")},
    }


def moment(run: Path | None) -> str:
    """What the run was doing when it died, from what it left."""
    if run is None or not (run / "manifest.json").exists():
        return "beginning"
    if list(run.glob(".*.tmp")) or list(run.glob("checkpoints/**/.*.tmp")):
        return "writing"
    if (run / "evaluation.json").exists():
        return "figures"
    return "evaluation" if (run / "weights.safetensors").exists() else "training"


def kill_and_go_on(name: str, kills: int, folder: Path, seed: int, **changes: Any) -> Counter[str]:
    """Kill runs of an experiment so many times, and compare each one, when it has ended, with one left alone."""
    chance = random.Random(seed)
    setting = experiment(name, **changes)
    seconds = finished(setting, folder / "whole")
    whole = content(begun(folder / "whole")[0])
    number_of_lines = whole["metrics"].count("\n")
    moments: Counter[str] = Counter()
    number = 0
    while moments.total() < kills:
        out = folder / f"run-{number}"
        number += 1
        ended = False
        while not ended:
            if moments.total() == kills:
                finished(setting, out)
                break
            # a run is not killed again and again at its end, where it would stay
            if (begun(out) or [out])[0].joinpath("weights.safetensors").exists() and chance.random() < 0.5:
                finished(setting, out)
                break
            aim, latest = chance.choice(AIMS), 0.05
            if aim == "moment":
                latest = 1.1 * seconds
            line = chance.randrange(1, number_of_lines) if aim == "line" else 0
            ended = not killed(setting, out, chance.uniform(0.0, latest), line, weights=aim == "weights")
            run = (begun(out) or [None])[0]
            if not ended:
                moments[moment(run)] += 1
            if run is not None and (run / "metrics.jsonl").exists():
                left = (run / "metrics.jsonl").read_text()
                assert whole["metrics"].startswith(left), "a line is cut off, missing or there twice"
                assert left == "" or left.endswith("\n")
        [run] = begun(out)
        assert content(run) == whole
        assert json.loads((run / "manifest.json").read_text())["status"] == "finished"
        assert not list(run.glob("**/.*.tmp"))
    return moments


def test_killed_a_few_times(tmp_path: Path) -> None:
    kill_and_go_on("baseline", 3, tmp_path, seed=1, figures=())


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_killed_at_fifty_moments(name: str, tmp_path: Path, record_property: Any) -> None:
    kills = {"baseline": 14}.get(name, 12)
    moments = kill_and_go_on(name, kills, tmp_path, seed=len(name))
    record_property("moments", dict(moments))
    print(f"{name}: {moments.total()} kills: {dict(moments)}")
    assert moments.total() == kills
