"""What the command line prints, and how much of it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape

from vaelab.files import to_json


@dataclass(frozen=True)
class Flags:
    """What holds for every command.

    Attributes:
        debug: show the traceback of an error.
        quiet: print errors, warnings and what `--json` asks for, nothing else.
        verbose: say more of what is done.
    """

    debug: bool = False
    quiet: bool = False
    verbose: bool = False


_FLAGS = {"--debug": "debug", "--quiet": "quiet", "-q": "quiet", "--verbose": "verbose", "-v": "verbose"}


def take_flags(arguments: Sequence[str]) -> tuple[list[str], Flags]:
    """The flags of every command, which may stand anywhere before a `--`, and the other arguments."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    found = {_FLAGS[word]: True for word in arguments[:end] if word in _FLAGS}
    return [*(word for word in arguments[:end] if word not in _FLAGS), *arguments[end:]], Flags(**found)


def say(console: Console, text: str) -> None:
    """A line as it stands, whatever its brackets and its length."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def print_json(content: Any) -> None:
    """JSON on the standard output; NaN and infinity become null."""
    sys.stdout.write(to_json(content))


def print_error(console: Console, message: str) -> None:
    """An error as every command shows it."""
    console.print("[bold red]error[/bold red] ", end="")
    say(console, message)


class LogHandler(logging.Handler):
    """Shows log messages as lines, a warning with its name in front.

    rich's own handler imports what formats tracebacks, which costs a tenth of the time of `--help`.

    Args:
        console: where they go.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        if record.levelno >= logging.WARNING:
            style = "bold red" if record.levelno >= logging.ERROR else "bold yellow"
            self.console.print(f"[{style}]{escape(record.levelname.lower())}[/{style}] ", end="")
        say(self.console, record.getMessage())
