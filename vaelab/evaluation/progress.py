"""What a person sees while metrics that take long are computed."""

from __future__ import annotations

import time

from rich.console import Console


class EvaluationProgress:
    """A line now and then: of which metric, how many data are done, and the time left. Nothing of what is quick.

    Args:
        console: where it goes.
        every: seconds between two lines at least, and before the first one of a metric.
    """

    def __init__(self, console: Console, every: float = 20.0) -> None:
        self.console = console
        self.every = every
        self._metric, self._done = "", 0
        self._called = self._started = self._said = time.perf_counter()

    def __call__(self, metric: str, done: int, number: int) -> None:
        """So many data of so many are done in a metric's pass over them."""
        now = time.perf_counter()
        if metric != self._metric or done <= self._done:  # another metric, or another pass of the same
            self._started = self._said = self._called
        self._metric, self._done, self._called = metric, done, now
        if now - self._said >= self.every and done < number:
            self._said = now
            left = (now - self._started) / done * (number - done)
            self.console.print(
                f"  {metric}  {done:,} of {number:,} data  {left:.0f} s left", highlight=False, markup=False
            )
