"""Damaged runs and sweeps: each reads as it was, or is refused with the name of the file and a remedy."""

from __future__ import annotations

import copy
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

import vaelab
from fuzz.damage import damaged
from fuzz.mutations import change
from fuzz.outcomes import attempt, budgets, run_cases
from vaelab.comparison import compare
from vaelab.comparison.measure import evaluate_more
from vaelab.errors import VaelabError
from vaelab.evaluation.tables import table
from vaelab.experiment import resume
from vaelab.health.diagnosis import diagnose
from vaelab.runs import load_run
from vaelab.sweep import run_sweep, sweep_status

EXPERIMENT: dict[str, Any] = {
    "name": "tiny",
    "data": {"kind": "digits", "validation": 20, "train_limit": 30, "test_limit": 20},
    "model": {
        "encoder": {"kind": "mlp", "hidden": [4]},
        "posterior": "diagonal_normal",
        "prior": {"kind": "standard_normal", "dim": 2},
        "decoder": {"kind": "mlp", "hidden": [4]},
        "likelihood": {"kind": "bernoulli", "grey": True},
    },
    "training": {"epochs": 2, "batch_size": 16, "log_every": 1},
    "evaluation": {"metrics": ["negative_elbo"], "figures": [], "report": False},
}
SWEEP: dict[str, Any] = {
    "name": "tiny_sweep",
    "experiment": EXPERIMENT,
    "space": {"model.prior.dim": {"choices": [1, 2]}},
    "method": "grid",
}

Files = dict[str, bytes]


@contextmanager
def _made(make: Callable[[Path], Path]) -> Iterator[Files]:
    with tempfile.TemporaryDirectory() as folder:
        root = make(Path(folder))
        yield {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def run_files() -> Iterator[Files]:
    with _made(lambda folder: vaelab.train(EXPERIMENT, folder).path) as files:
        yield {name: content for name, content in files.items() if not name.startswith((".", "figures/"))}


@pytest.fixture(scope="module")
def sweep_files() -> Iterator[Files]:
    def make(folder: Path) -> Path:
        run_sweep(SWEEP, folder)
        return folder / "tiny_sweep"

    with _made(make) as files:
        yield files


def _write(files: Files, folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _summed(files: Files, name: str) -> Files:
    """The same with the checksums that a checkpoint should have, so that what is in its files is looked at."""
    folder, _, file = name.rpartition("/")
    sums = json.loads(files[f"{folder}/checksums.json"])
    return {
        **files,
        f"{folder}/checksums.json": json.dumps({**sums, file: hashlib.sha256(files[name]).hexdigest()}).encode(),
    }


@st.composite
def wrong(draw: DrawFn, files: Files, names: list[str]) -> Files:
    """Files of which one is damaged: its bytes, or, where it is JSON, a value in it."""
    name = draw(st.sampled_from(names))
    content = files[name]
    if draw(st.booleans()) and name.endswith((".json", ".jsonl", ".log")):
        lines = [content] if name.endswith(".json") else content.splitlines()
        at = draw(st.integers(0, len(lines) - 1))
        parsed = copy.deepcopy(json.loads(lines[at]))
        for _ in range(draw(st.sampled_from([1, 1, 2]))):
            if parsed:
                change(draw, parsed)
        lines[at] = json.dumps(parsed).encode()
        changed = {**files, name: b"\n".join(lines) + b"\n"}
        # what an optimiser keeps is known to the optimiser alone
        if "optimisers" in parsed and parsed["optimisers"] == json.loads(content)["optimisers"] and draw(st.booleans()):
            return _summed(changed, name)
        return changed
    if draw(st.sampled_from([False] * 9 + [True])):
        return {other: bytes_ for other, bytes_ in files.items() if other != name}
    return {**files, name: draw(damaged(content))}


def looked_at(path: Path) -> None:
    """Everything that reads a run and trains nothing."""
    run = load_run(path, "cpu")
    for value in (run.history, run.evaluation, run.directory.read_manifest()):
        assert value is not None
    table(run.evaluation)
    diagnose(run.directory)
    compare([str(path)])
    for z in run.encode(torch.zeros(2, 1, 8, 8)):
        assert z.shape[-1] == run.model.prior.latent.groups[0].shape[-1]
    assert len(run.data.test)
    evaluate_more(run, limit=4)


def resumed(path: Path) -> None:
    """Go on with a run as if it had been killed after its last checkpoint."""
    (path / "weights.safetensors").unlink(missing_ok=True)
    resume(path, device="cpu")


def judged(files: Files, action: Callable[[Path], None]) -> VaelabError | None:
    with tempfile.TemporaryDirectory() as folder:
        _write(files, Path(folder) / "run")
        return attempt(lambda: action(Path(folder) / "run"))


@pytest.mark.parametrize("action", [looked_at, resumed])
def test_the_intact_run(run_files: Files, action: Callable[[Path], None]) -> None:
    assert judged(run_files, action) is None


@budgets(30, 6000)
def test_damaged_runs_are_refused(run_files: Files, cases: int) -> None:
    names = sorted(name for name in run_files if not name.startswith("checkpoints/"))
    run_cases(cases, wrong(run_files, names), lambda files: judged(files, looked_at), fixed=cases < 100)


@budgets(12, 2500)
def test_damaged_checkpoints_are_refused(run_files: Files, cases: int) -> None:
    run_cases(cases, wrong(run_files, sorted(run_files)), lambda files: judged(files, resumed), fixed=cases < 100)


@budgets(25, 2500)
def test_damaged_sweeps_are_refused(sweep_files: Files, cases: int) -> None:
    def status(files: Files) -> VaelabError | None:
        with tempfile.TemporaryDirectory() as folder:
            _write(files, Path(folder) / "tiny_sweep")
            return attempt(lambda: sweep_status(SWEEP, folder).table())

    names = [
        name for name in sweep_files if name.endswith(("journal.log", "config.json", ".claim")) and "runs/" not in name
    ]
    run_cases(cases, wrong(sweep_files, names), status, fixed=cases < 100)
