"""Ctrl-C and SIGTERM while a run is written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self


class Interrupts:
    """The first SIGINT or SIGTERM asks whatever can finish in order, and stops at once where nothing can; the second acts as usual.

    A context manager. In other threads than the main one, which gets the signals, it does nothing.
    """

    def __init__(self) -> None:
        self._ask: Callable[[], None] | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def asking(self, ask: Callable[[], None]) -> Iterator[None]:
        """Within the block a signal calls `ask` in place of stopping at once."""
        self._ask = ask
        try:
            yield
        finally:
            self._ask = None

    def _handle(self, number: int, frame: Any) -> None:
        self.__exit__()
        if self._ask is None:
            raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")
        self._ask()
