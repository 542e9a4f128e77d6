"""Following a run from outside, by its files alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from vaelab.errors import RunError
from vaelab.evaluation.tables import table
from vaelab.health import Finding, diagnose
from vaelab.runs import RunDirectory, find_run
from vaelab.training.progress import TrainingProgress

Line = dict[str, Any]

POLL = 0.5
"""Seconds between two looks."""
QUIET = 10.0
"""Seconds without news after which one looks whether the process still lives."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        run: its directory.
        status: `running`, `evaluating`, `finished`, `stopped`, `failed`, or `lost` where its process is gone.
        step: of the last line.
        total_steps: of the training; None where it is not known.
        epoch: of the last line.
        terms: of the last line of the training.
        validation: the values of the last validation.
        data_per_second: since the run was begun or resumed; None where it is not known.
        seconds_left: of the training at that speed.
        findings: what went wrong so far.
        error: of a failed run.
    """

    run: str
    status: str
    step: int
    total_steps: int | None
    epoch: float
    terms: dict[str, float]
    validation: dict[str, float]
    data_per_second: float | None
    seconds_left: float | None
    findings: list[dict[str, Any]]
    error: str | None

    def to_json(self) -> dict[str, Any]:
        """As `watch --json` prints it."""
        return asdict(self)


def look(run: str | Path) -> Progress:
    """How far a run is now.

    Raises:
        RunError: there is no such run.
    """
    directory = RunDirectory(find_run(run))
    lines, manifest = directory.history(), directory.read_manifest()
    session = manifest.get("session") or {}
    train, validation = _last(lines, "train"), _last(lines, "validation")
    status = _status(directory, manifest, settled=True)
    step, total = train.get("step", 0), session.get("total_steps")
    taken, elapsed = step - session.get("step", 0), _elapsed(directory, session)
    speed = taken * session["batch"] / elapsed if taken > 0 and elapsed else None
    left = elapsed / taken * (total - step) if speed and elapsed and total and status == "running" else None
    return Progress(
        str(directory.path),
        status,
        step,
        total,
        train.get("epoch", 0.0),
        _values(train),
        _values(validation),
        speed,
        left,
        [finding.to_json() for finding in diagnose(directory)],
        manifest.get("error"),
    )


def follow(run: str | Path, console: Console, sleep: Callable[[float], None] = time.sleep) -> None:
    """Show a run until it ends; one that has ended is shown at once.

    Args:
        run: its directory, or the name of an experiment for its newest run.
        console: where it is shown.
        sleep: waits for a number of seconds.

    Raises:
        RunError: there is no such run, or it failed, was stopped or lost its process.
    """
    directory = RunDirectory(find_run(run))
    console.print(f"run {directory.path}", highlight=False, markup=False, soft_wrap=True)
    metrics, health = _Tail(directory.metrics), _Tail(directory.health)
    while not (session := directory.read_manifest().get("session")):
        status = _status(directory, directory.read_manifest(), settled=False)
        if status != "running" or (directory.read_manifest() and not directory.in_use()):
            _end(directory, status if status != "running" else "lost", console)
            return
        sleep(POLL)
    progress = TrainingProgress(
        console,
        session["total_steps"],
        session["step"],
        session["steps_per_epoch"],
        session["batch"],
        _elapsed(directory, session) or 0.0,
    )
    with progress:
        status = _show(directory, progress, metrics, health, sleep)
    _end(directory, status, console)


def _show(
    directory: RunDirectory,
    progress: TrainingProgress,
    metrics: _Tail,
    health: _Tail,
    sleep: Callable[[float], None],
) -> str:
    """Show what comes until the training ends; the status in which it did."""
    quiet = 0.0
    first, evaluating = True, False
    while True:
        status = _status(directory, directory.read_manifest(), settled=quiet >= QUIET)
        # read after the status: what a run wrote before it ended is there then
        lines = [*metrics.new(), *(line for line in health.new() if line["split"] == "finding")]
        if first and len(lines) > 1:
            lines = _gist(lines)
        for line in sorted(lines, key=lambda line: line["step"]):
            if "finding" in line:
                progress.note(f"  {Finding.from_json(line['finding'])}")
            else:
                progress.line(line)
                if line["split"] == "train":
                    progress.advance(line["step"])
        if status == "evaluating" and not evaluating:
            progress.note("evaluating")
        evaluating = status == "evaluating"
        if status not in ("running", "evaluating"):
            return status
        quiet = 0.0 if lines else quiet + POLL
        first = False
        sleep(POLL)


def _gist(lines: list[Line]) -> list[Line]:
    """Of what was there already: the last line of each split, and all findings."""
    last = {line["split"]: line for line in lines if "finding" not in line}
    return [*last.values(), *(line for line in lines if "finding" in line)]


def _end(directory: RunDirectory, status: str, console: Console) -> None:
    if status == "finished":
        evaluation = directory.read_evaluation()
        if evaluation is not None:
            console.print(table(evaluation))
        console.print("finished", highlight=False)
        return
    if status == "failed":
        raise RunError(f"{directory.path}: the run failed: {directory.read_manifest().get('error')}")
    how = "was stopped" if status == "stopped" else "is not finished, and no process works on it"
    raise RunError(f"{directory.path}: the run {how}. Go on with: {directory.way_on}")


def _status(directory: RunDirectory, manifest: dict[str, Any], *, settled: bool) -> str:
    """The status; whether the process lives is asked only where the files are settled, as asking takes the lock."""
    status = str(manifest.get("status", "running"))
    if status != "running":
        return status
    if settled and not directory.in_use():
        return "lost" if directory.read_manifest().get("status", "running") == "running" else "running"
    return "evaluating" if manifest.get("weights_of_step") is not None else "running"


def _elapsed(directory: RunDirectory, session: dict[str, Any]) -> float | None:
    """Seconds between the beginning of the session and its last line."""
    if not session or not directory.metrics.exists():
        return None
    seconds = directory.metrics.stat().st_mtime - datetime.fromisoformat(session["started"]).timestamp()
    return seconds if seconds > 0 else None


def _last(lines: list[Line], split: str) -> Line:
    return next((line for line in reversed(lines) if line["split"] == split), {})


def _values(line: Line) -> dict[str, float]:
    return {name: value for name, value in line.items() if name not in ("split", "step", "epoch")}


class _Tail:
    """The lines that are new in a file since one last looked. A last line that is not whole is left for the next time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = 0

    def new(self) -> list[Line]:
        if not self.path.exists():
            return []
        return list(self._read())

    def _read(self) -> Iterator[Line]:
        with self.path.open("rb") as file:
            # a resumed run drops lines and writes them again
            if self.path.stat().st_size < self._place:
                self._place = 0
            file.seek(self._place)
            for text in file:
                if not text.endswith(b"\n"):
                    return
                self._place += len(text)
                yield json.loads(text)
