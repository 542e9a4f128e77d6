"""A small experiment as JSON would say it."""

from __future__ import annotations

from typing import Any

from core.models import FLAT


def content(**changes: Any) -> dict[str, Any]:
    """Digits, an MLP, two steps."""
    base: dict[str, Any] = {
        "name": "trial",
        "data": {"kind": "digits", "binarisation": "threshold"},
        "model": dict(FLAT),
        "objective": {"kind": "elbo", "divergences": [{"kind": "kl", "weight": 1.0}]},
        "training": {"steps": 2, "batch_size": 8},
    }
    return {**base, **changes}
