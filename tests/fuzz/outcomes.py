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
from hypothesis import strategies as st

from vaelab.errors import VaelabError

#: Seconds of computing after which a case is said to hang.
PATIENCE = 30

#: Exit codes of docs/errors.md that bad input may lead to; 1 for what a message explains, 70 never.
CODES = {0, 1, 2, 3, 4, 5, 6, 7}

#: A remedy is an instruction, or says what a value is to be.
REMEDY = re.compile(
    r"""\b(use|set|give|choose|take|write|run|remove|delete|add|leave|put|lower|raise|reduce|train|correct|convert|install|name|
    restore|evaluate|mend|hold\ out|bring|get|save|scale|store|quote|change|list|replace|copy|go\ on|begin|wait|store|pass|wrap|
    should|must|needs?|requires|expected|known\ (kinds|keys)|did\ you\ mean|is\ required|there\ are|it\ holds|it\ has|not\ JSON|
    have\ at\ (least|most)|labels\ are|splits\ are|may\ be|required|say\ which)\b|\b(Families|Data\ sets):""",
    re.IGNORECASE | re.VERBOSE,
)

#: A place is a JSON path, a file, an option, an argument that is missing, or a component by its kind.
PLACE = re.compile(r"""\$(\.|\[|:)|--[a-z]|[/\\.]\w|'[^']*'|: cannot be read|\bDATA\b|\bsay which \w+""")


def attempt(action: Callable[[], Any], *, leaves: Path | None = None) -> VaelabError | None:
    """Do something with bad input and judge what came of it.

    Args:
        action: what is done.
        leaves: a folder in which a refusal may leave nothing.

    Returns:
        The error, or None where all went well.
    """
    try:
        with soon():
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
def soon() -> Iterator[None]:
    """Refuse what computes for ever."""

    def end(number: int, frame: Any) -> None:
        raise TimeoutError(f"not done after {PATIENCE} s of computing")

    # of computing, as the machine may be shared
    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def fuzz(ordinary: int, long: int, case: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A property of random cases, as two tests: a short one that belongs to the ordinary tests, and a long one.

    `pytest -m fuzz` runs the long ones. The function takes the case.

    Args:
        ordinary: cases of the short test; the same each time.
        long: cases of the long one; others each time.
        case: makes one.
    """

    def decorate(check: Callable[[Any], None]) -> Any:
        @budgets(ordinary, long)
        def test(cases: int) -> None:
            run_cases(cases, case, check, fixed=cases == ordinary)

        test.__doc__ = check.__doc__
        return test

    return decorate


def budgets(ordinary: int, long: int) -> Any:
    """A test with the argument `cases`, short and long; see `fuzz`."""
    short, slow = pytest.param(ordinary, id="short"), pytest.param(long, id="long", marks=pytest.mark.fuzz)
    return pytest.mark.parametrize("cases", [short, slow])


def run_cases(cases: int, case: st.SearchStrategy[Any], check: Callable[[Any], Any], *, fixed: bool) -> None:
    """So many cases now; the same ones each time where they are `fixed`, and shrunk where not."""
    profile = settings(
        max_examples=cases,
        deadline=None,
        derandomize=fixed,
        database=None,
        phases=[Phase.generate] if fixed else [Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )

    # given looks at the arguments of the function
    @profile
    @given(case=case)
    def each(case: Any) -> None:
        check(case)

    each()
