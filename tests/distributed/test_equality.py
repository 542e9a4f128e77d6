"""Processes that share a batch do what one process does with all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distributed.cases import CASES, differences, train
from distributed.launch import finish_all, start_all
from vaelab.evaluation import evaluate
from vaelab.processes import ALONE
from vaelab.runs import load_run

MEMBER = str(Path(__file__).with_name("member.py"))
#: What is checked at each run; the others are slow.
FIRST = ("averaged", "adversary", "codes", "norms")


def check(folder: Path, number: int, names: tuple[str, ...], *more: str) -> None:
    ended = finish_all(start_all(number, MEMBER, str(folder), *names, *more), timeout=600)
    for code, _, errors in ended:
        assert code == 0, errors
    for name in names:
        expected, tensors = train(name, folder / "alone", ALONE)
        lines = json.loads((folder / f"{name}.json").read_text())
        assert len(lines) == len(expected) > 4
        for ours, theirs in zip(lines, expected, strict=True):
            assert not differences(ours, theirs), name
        found = load_file(folder / f"{name}.safetensors")
        assert found.keys() == tensors.keys()
        for key, value in tensors.items():
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=2e-5, msg=f"{name} {key}".format)


def check_run(folder: Path) -> None:
    """A run that was stopped and resumed is one that was not, and its evaluation is that of one process."""
    through, stopped, message = json.loads((folder / "run.json").read_text())
    assert "stopped after step 9 of 20. Go on with" in message or "stopped after step 8 of 20. Go on with" in message
    runs = [load_run(path, "cpu") for path in (through, stopped)]
    assert (runs[0].path / "weights.safetensors").read_bytes() == (runs[1].path / "weights.safetensors").read_bytes()
    assert runs[0].history == runs[1].history
    assert runs[0].evaluation["values"] == runs[1].evaluation["values"]
    assert [run.directory.read_manifest()["processes"] for run in runs] == [2, 2]
    again = evaluate(runs[0].model, runs[0].data, runs[0].experiment.evaluation)
    assert again.to_json()["values"] == runs[0].evaluation["values"]


def test_two_processes_are_one(tmp_path: Path) -> None:
    check(tmp_path, 2, FIRST, "run")
    check_run(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 3])
def test_any_number_of_processes_is_one(tmp_path: Path, number: int) -> None:
    check(tmp_path, number, tuple(CASES))
