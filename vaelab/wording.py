"""Long things in short, for messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def brief(text: str, most: int = 60) -> str:
    """The beginning of a text, with an ellipsis where there is more."""
    return text if len(text) <= most else f"{text[:most]}..."


def brief_json(value: Any) -> str:
    """The beginning of a value as JSON; what JSON does not have stands as text."""
    return brief(json.dumps(value, default=str), 200)


def some(names: Sequence[str], most: int = 8) -> str:
    """The first of many names, with the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
