"""One thing that was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

#: A problem spoils the result, a warning may, a note is worth knowing.
Severity = Literal["problem", "warning", "note"]

_ORDER: dict[Severity, int] = {"problem": 0, "warning": 1, "note": 2}


@dataclass(frozen=True)
class Finding:
    """What was seen, why it may be, and what helps.

    Attributes:
        kind: of the finding, one word; a run has at most one of a kind and subject.
        severity: how bad it is.
        title: in few words.
        seen: the numbers.
        cause: a likely one.
        remedy: what to try.
        step: at which it was seen first; None where it is of the finished run.
        subject: what it is about where there may be several, such as a parameter.
        until: the first step at which it was seen no longer; None where it lasted to the end.
    """

    kind: str
    severity: Severity
    title: str
    seen: str
    cause: str
    remedy: str
    step: int | None = None
    subject: str = ""
    until: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Equal for two sights of the same thing."""
        return self.kind, self.subject

    @property
    def rank(self) -> tuple[int, int]:
        """Sorts the worst and earliest first; what went away counts as a note."""
        return _ORDER[self.severity if self.until is None else "note"], self.step if self.step is not None else 2**62

    @property
    def when(self) -> str:
        """`step 300`, `steps 300 to 800`, or nothing."""
        if self.step is None:
            return ""
        return f"step {self.step}" if self.until is None else f"steps {self.step} to {self.until}"

    def __str__(self) -> str:
        when = f" ({self.when})" if self.when else ""
        return f"{self.severity}{when}: {self.title}. {self.seen} Likely cause: {self.cause} Remedy: {self.remedy}"

    def to_json(self) -> dict[str, Any]:
        """As a line of health.jsonl holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**content)
