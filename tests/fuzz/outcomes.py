"""What may come of bad input: success, or one error of vaelab that names a place and a remedy. Nothing else, and soon."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from vaelab.errors import VaelabError

#: Seconds after which a case is said to hang.
PATIENCE = 60

#: Exit codes of docs/errors.md that bad input may lead to; 1 for what a message explains, 70 never.
CODES = {0, 1, 2, 3, 4, 5}

#: A remedy is an instruction, or says what a value is to be.
REMEDY = re.compile(
    r"""\b(use|set|give|choose|take|write|run|remove|delete|add|leave|put|lower|raise|reduce|train|correct|convert|install|name|
    restore|evaluate|mend|hold\ out|bring|get|save|scale|store|quote|change|list|replace|copy|go\ on|begin|wait|store|pass|wrap|
    should|must|needs?|expected|known\ (kinds|keys)|did\ you\ mean|is\ required|there\ are|it\ holds|it\ has|not\ JSON|
    have\ at\ (least|most)|labels\ are|splits\ are|may\ be|required)\b""",
    re.IGNORECASE | re.VERBOSE,
)

#: A place is a JSON path, a file, an option, or a component by its kind.
PLACE = re.compile(r"""\$(\.|\[|:)|--[a-z]|[/\\.]\w|'[^']+'""")


def attempt(action: Callable[[], Any], *, leaves: Path | None = None) -> VaelabError | None:
    """Do something with bad input and judge what came of it.

    Args:
        action: what is done.
        leaves: a folder in which a refusal may leave nothing.

    Returns:
        The error, or None where all went well.
    """
    try:
        with _soon():
            action()
    except VaelabError as error:
        judge(str(error), error.exit_code)
        if leaves is not None:
            assert not list(leaves.rglob("*")), f"left behind: {sorted(map(str, leaves.rglob('*')))}"
        return error
    return None


def judge(message: str, code: int) -> None:
    """Refuse an error that does not help."""
    assert code in CODES, f"exit code {code}: {message}"
    assert "Traceback" not in message
    assert PLACE.search(message), f"names no place: {message}"
    assert REMEDY.search(message), f"names no remedy: {message}"
    assert len(message) < 20_000, f"{len(message)} characters: {message[:500]}"


@contextmanager
def _soon() -> Iterator[None]:
    def end(number: int, frame: Any) -> None:
        raise TimeoutError(f"not done after {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzz(ordinary: int, long: int, **strategies: Any) -> Callable[[Callable[..., None]], Any]:
    """A property of random cases, as two tests: a short one that belongs to the ordinary tests, and a long one.

    `pytest -m fuzz` runs the long ones.

    Args:
        ordinary: cases of the short test; the same each time.
        long: cases of the long one; others each time. What failed is tried again by the next one.
        strategies: of the arguments.
    """

    def decorate(check: Callable[..., None]) -> Any:
        @pytest.mark.parametrize(
            "cases", [pytest.param(ordinary, id="short"), pytest.param(long, id="long", marks=pytest.mark.fuzz)]
        )
        def test(cases: int) -> None:
            short = cases == ordinary
            profile = settings(
                max_examples=cases,
                deadline=None,
                derandomize=short,
                database=None,
                phases=[Phase.explicit, Phase.generate, *(() if short else (Phase.shrink,))],
                suppress_health_check=list(HealthCheck),
            )
            # given looks at the arguments of the function, so each test gets a fresh one
            profile(given(**strategies)(lambda **arguments: check(**arguments)))()

        test.__doc__ = check.__doc__
        return test

    return decorate
