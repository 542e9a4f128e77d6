"""Profiling some steps of a training that goes on as if nobody looked."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from vaelab.files import make_folder, replacing, write_json, write_text
from vaelab.profiling.flame import flame_graph
from vaelab.profiling.marks import Marks, mark_training, recorded
from vaelab.profiling.tables import Measured, Rare, as_json, as_markdown
from vaelab.profiling.tree import Tree, read
from vaelab.training import Trainer

_log = logging.getLogger("vaelab")

#: What is done in few steps: the trainer's method, and its name.
_RARE = (("log", "logging"), ("validate", "validation"), ("save", "checkpoint"))


@dataclass(frozen=True)
class Plan:
    """Steps of a profile, in their order.

    Attributes:
        warm: nobody looks; memory is allocated and code compiled.
        timed: their time alone is taken.
        settled: the profiler runs and nothing is kept.
        profiled: each operation is recorded.
    """

    warm: int = 10
    timed: int = 20
    settled: int = 2
    profiled: int = 20

    #: Fewer steps show nothing.
    LEAST = 8

    @classmethod
    def of(cls, steps: int) -> Plan | None:
        """For so many steps; None where they are too few."""
        if steps < cls.LEAST:
            return None
        full = cls()
        if steps >= full.warm + full.timed + full.settled + full.profiled:
            return full
        settled, part = 1, (steps - 1) // 4
        return cls(warm=part, timed=part, settled=settled, profiled=steps - settled - 2 * part)


@contextmanager
def profiled(trainer: Trainer, folder: Path, about: dict[str, Any]) -> Iterator[None]:
    """Profile some of the steps that are taken inside the block, and write what they took.

    The steps and their results are the same bits as without.

    Args:
        trainer: told to whom it reports, before its first step.
        folder: gets `profile.md`, `profile.json`, `flame.svg` and `trace.json.gz`.
        about: what the figures are of, for the head of the table.
    """
    left = trainer.total_steps - trainer.step
    plan = Plan.of(left)
    if plan is None:
        _log.warning("a profile needs %d steps, and %d are left; there is none", Plan.LEAST, left)
        yield
        return
    profiler = _Profiler(trainer, plan, folder, about)
    try:
        yield
    finally:
        profiler.close()


class _Profiler:
    """Counts the steps, which begin where the trainer has its batch, and looks at those of the plan."""

    def __init__(self, trainer: Trainer, plan: Plan, folder: Path, about: dict[str, Any]) -> None:
        self._trainer = trainer
        self._plan = plan
        self._folder = folder
        self._about = about
        self._steps = 0
        self._seconds = 0.0
        self._marks = Marks()
        self._counter = Marks()
        self._rare = {name: Rare() for _, name in _RARE}
        self._torch: profile | None = None
        self._tree: Tree | None = None
        self._began = trainer.step
        for method, name in _RARE:
            self._counter.mark(trainer, method, name)
            self._counter.put(trainer, method, _timed(getattr(trainer, method), self._rare[name]))
        inner, batches = trainer.update.take, trainer.update.batches

        def take(*args: Any) -> Any:
            self._at_step()
            return inner(*args)

        self._counter.put(trainer.update, "take", take)
        # an epoch's iterator may be older than the marks
        self._counter.put(
            trainer.update, "batches", lambda *args: recorded(batches(*args), "data", lambda: self._recording)
        )

    def _at_step(self) -> None:
        plan, step = self._plan, self._steps
        self._steps += 1
        if step == plan.warm:
            self._seconds = self._now() - self._rare_seconds()
        if step == plan.warm + plan.timed:
            self._seconds = self._now() - self._rare_seconds() - self._seconds
            self._start()
        elif self._recording:
            assert self._torch is not None
            self._torch.step()

    @property
    def _recording(self) -> bool:
        return self._torch is not None and self._tree is None

    def _now(self) -> float:
        if self._trainer.model.device.type == "cuda":
            torch.cuda.synchronize(self._trainer.model.device)
        return time.perf_counter()

    def _rare_seconds(self) -> float:
        return sum(rare.seconds for rare in self._rare.values())

    def _start(self) -> None:
        mark_training(self._marks, self._trainer)
        activities = [ProfilerActivity.CPU]
        if self._trainer.model.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        # else a machine without a GPU is told so on the screen
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")
        plan = self._plan
        self._torch = profile(
            activities=activities,
            schedule=schedule(wait=0, warmup=plan.settled, active=plan.profiled, repeat=1),
            on_trace_ready=self._keep,
            acc_events=True,
        )
        self._torch.start()

    def _keep(self, done: profile) -> None:
        self._marks.remove()
        self._tree = read(done.events() or [], without=[name for _, name in _RARE])
        make_folder(self._folder)
        with tempfile.TemporaryDirectory() as name, replacing(self._folder / "trace.json.gz") as path:
            plain = Path(name) / "trace.json"
            done.export_chrome_trace(str(plain))
            with plain.open("rb") as source, gzip.open(path, "wb", compresslevel=3) as target:
                shutil.copyfileobj(source, target)
        write_text(self._folder / "flame.svg", flame_graph(self._tree, self._about))
        self._write()

    def _write(self) -> None:
        assert self._tree is not None
        measured = Measured(
            self._tree,
            self._seconds / self._plan.timed,
            self._rare,
            self._trainer.step - self._began or 1,
            self._about,
        )
        write_json(self._folder / "profile.json", as_json(measured))
        write_text(self._folder / "profile.md", as_markdown(measured))

    def close(self) -> None:
        """At the end of the training, however it ends: what is done in few steps is known only now."""
        if self._recording:
            assert self._torch is not None
            self._torch.stop()
        self._marks.remove()
        self._counter.remove()
        if self._tree is not None:
            self._write()


def _timed(function: Callable[..., Any], rare: Rare) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            rare.seconds += time.perf_counter() - start
            rare.number += 1

    return timed
