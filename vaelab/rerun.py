"""Doing a run again from its own record, and comparing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console

from vaelab.experiment import train
from vaelab.files import sha256
from vaelab.runs import Run, load_run


@dataclass(frozen=True)
class Difference:
    """Something that differs between a run and its rerun.

    Attributes:
        kind: of the environment, which explains differences, or of the data or the result.
        what: differs.
        before: in the run.
        now: in the rerun.
    """

    kind: Literal["environment", "data", "result"]
    what: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.kind}: {self.what} was {self.before} and is {self.now}"


@dataclass(frozen=True)
class Rerun:
    """A rerun and all that differs."""

    run: Run
    differences: list[Difference]

    @property
    def same(self) -> bool:
        """Whether data and results are the same, bit for bit, in whatever environment."""
        return all(difference.kind == "environment" for difference in self.differences)


def rerun(
    path: str | Path, out: str | Path = "reruns", *, device: str | None = None, console: Console | None = None
) -> Rerun:
    """Do a finished run again with its resolved config, seed, device and number of threads, and compare.

    Args:
        path: of the run, or its name.
        out: folder of the new run.
        device: in place of the recorded one.
        console: where progress is shown; silent where None.

    Raises:
        RunError: there is no such run, it was not evaluated, or the device is not there.
    """
    old = load_run(path, "cpu")
    _ = old.evaluation  # a run without one cannot be compared
    manifest = old.directory.read_manifest()
    recorded = manifest.get("device", "cpu")
    named = recorded if recorded in ("cpu", "mps") else "cuda"
    if old.experiment.device != "auto":
        named = old.experiment.device
    with _threads(manifest.get("threads")):
        new = train(old.experiment, out, device=device or named, console=console)
    return Rerun(new, list(_differences(old, new)))


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _differences(old: Run, new: Run) -> Iterator[Difference]:
    before, now = old.directory.read_manifest(), new.directory.read_manifest()
    for key in ("versions", "platform", "device", "threads", "git"):
        yield from _unequal("environment", key, before.get(key), now.get(key))
    for key in ("source", "files", "sizes", "binarisation", "split_rule"):
        yield from _unequal("data", key, before["data"].get(key), now["data"].get(key))
    yield from _lines(old.history, new.history)
    values = [{name: value["value"] for name, value in run.evaluation["values"].items()} for run in (old, new)]
    yield from _unequal("result", "evaluation", *values)
    sums = [sha256(run.directory.weights) if run.directory.weights.exists() else None for run in (old, new)]
    yield from _unequal("result", "weights.safetensors (SHA-256)", *sums)


def _lines(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> Iterator[Difference]:
    """The first line that differs: those after it follow from it."""
    for old, new in zip(before, now, strict=False):
        found = list(_unequal("result", f"metrics.jsonl, {old['split']} at step {old['step']}", old, new))
        if found:
            yield from found
            return
    yield from _unequal("result", "number of lines of metrics.jsonl", len(before), len(now))


def _unequal(kind: Literal["environment", "data", "result"], what: str, before: Any, now: Any) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in {**before, **now}:
            yield from _unequal(kind, f"{what}, {key}", before.get(key), now.get(key))
    elif before != now:
        yield Difference(kind, what, before, now)
