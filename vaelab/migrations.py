"""Files of older versions, brought to the format of this one.

A change of what a run directory or a checkpoint holds gets a number, and here a step from the number before. Steps are
applied one after the other, so each is written once and never changed. A step must leave content that it has changed
already as it is: a process may be killed between two files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vaelab.errors import RunError

Content = dict[str, Any]


class Migrations:
    """The formats of one kind of file, from 1 to the one that is written now.

    Args:
        what: the kind, for messages.
        current: the format that is written.
        steps: by the number of a format, the function that makes the next one of it.
    """

    def __init__(self, what: str, current: int, steps: Mapping[int, Callable[[Content], Content]]) -> None:
        assert set(steps) == set(range(1, current)), "each format before the current one needs a step"
        self.what = what
        self.current = current
        self.steps = dict(steps)

    def apply(self, content: Content, found: Any, source: Path) -> Content:
        """The content in the current format.

        Args:
            content: as it was read.
            found: the number of its format.
            source: where it was read, for messages.

        Raises:
            RunError: the format is of a newer vaelab, or none.
        """
        if not isinstance(found, int) or found < 1:
            raise RunError(f"{source}: {self.what} format {found!r} is none that vaelab has written")
        if found > self.current:
            raise RunError(
                f"{source}: {self.what} format {found} is of a newer vaelab; this one reads up to {self.current}. "
                "Install the version that wrote it, or a later one."
            )
        for number in range(found, self.current):
            content = self.steps[number](content)
        return content


def _with_counters(state: Content) -> Content:
    """Checkpoints 1 to 2: which line of metrics.jsonl was the last, and how many steps were skipped."""
    return {"last_line": None, "skipped": 0, **state}


#: A run directory; the content is `{"config": ..., "manifest": ...}`.
RUN = Migrations("run", 1, {})

#: The state.json of a checkpoint.
CHECKPOINT = Migrations("checkpoint", 2, {1: _with_counters})
