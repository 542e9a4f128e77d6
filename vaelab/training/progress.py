"""What a person sees while a model trains."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Throughput(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.fields.get('rate', 0):,.0f} data/s", style="dim")


class TrainingProgress:
    """A bar with terms, throughput and time left; where there is no terminal, a plain line an epoch.

    Args:
        console: where it goes.
        total: optimiser steps.
        done: steps done before (a resumed run).
        steps_per_epoch: to count epochs.
        batch: data a step, for the throughput.
        elapsed: seconds for which steps have been taken since then already, where one looks on later.
    """

    def __init__(
        self, console: Console, total: int, done: int, steps_per_epoch: int, batch: int, elapsed: float = 0.0
    ) -> None:
        self.console = console
        self.total = total
        self.steps_per_epoch = steps_per_epoch
        self.batch = batch
        self._started = self._last = time.perf_counter() - elapsed
        self._first_step = self._step = self._last_step = done
        self._terms = ""
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[terms]}"),
                _Throughput(),
                TimeRemainingColumn(compact=True),
                console=console,
            )
            self._task = self._bar.add_task("", total=total, completed=done, epoch=self._epoch(done), terms="", rate=0)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, step: int) -> None:
        """A step is done. Cheap: the screen is redrawn at most ten times a second by another thread."""
        self._step = step
        if self._bar and step % 10 == 0:
            self._bar.update(self._task, completed=step)
        elif self._bar is None and (step % self.steps_per_epoch == 0 or step == self.total):
            self._show()

    def line(self, line: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl: terms of the training, or values of a validation."""
        terms = {name: value for name, value in line.items() if name not in ("split", "step", "epoch", "lr")}
        if line["split"] == "train":
            self.terms(terms)
        else:
            text = "  ".join(f"{name} {value:.2f}" for name, value in terms.items())
            self.note(f"  {line['split']} after epoch {line['epoch']:g}: {text}")

    def terms(self, terms: Mapping[str, float]) -> None:
        """The terms as of now; in plain mode they are shown at the end of the epoch."""
        self._terms = "  ".join(f"{name} {value:.2f}" for name, value in list(terms.items())[:5])
        if self._bar:
            self._show()

    def _show(self) -> None:
        now = time.perf_counter()
        rate = (self._step - self._last_step) * self.batch / max(now - self._last, 1e-9)
        if self._bar:
            self._bar.update(
                self._task, completed=self._step, terms=self._terms, rate=rate, epoch=self._epoch(self._step - 1)
            )
        else:
            left = (now - self._started) / max(self._step - self._first_step, 1) * (self.total - self._step)
            self.note(f"epoch {self._epoch(self._step - 1)}  {self._terms}  {rate:,.0f} data/s  {left:.0f} s left")
        self._last, self._last_step = now, self._step

    def note(self, text: str) -> None:
        """A line of its own."""
        (self._bar.console if self._bar else self.console).print(text, highlight=False, markup=False, soft_wrap=True)

    def _epoch(self, step: int) -> str:
        return f"{step // self.steps_per_epoch + 1}/{-(-self.total // self.steps_per_epoch)}"
