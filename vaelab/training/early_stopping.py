"""Early stopping: the value that is watched, and what has been seen of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vaelab.config import EarlyStoppingConfig
from vaelab.errors import ConfigError
from vaelab.metrics import Value


class EarlyStopping:
    """Says when a watched value no longer improves.

    Args:
        config: what is watched; None where nothing is.
    """

    def __init__(self, config: EarlyStoppingConfig | None) -> None:
        self.config = config
        self._best: float = math.inf
        self._best_step = 0
        self._bad_validations = 0

    def check(self, values: Mapping[str, Value]) -> None:
        """Refuse values among which the watched one is missing.

        Raises:
            ConfigError: it is.
        """
        if self.config is not None:
            self._watched(self.config.metric, values)

    def look(self, values: Mapping[str, Value], step: int) -> float | None:
        """At the values of a validation; the watched one where it is the best so far, else None.

        Raises:
            ConfigError: it is not among them.
        """
        if self.config is None:
            return None
        value = self._watched(self.config.metric, values).value
        if value < self._best - self.config.min_delta:
            self._best, self._best_step, self._bad_validations = value, step, 0
            return value
        self._bad_validations += 1
        return None

    @property
    def stops(self) -> bool:
        """Whether there was no gain for as long as was waited for one."""
        return self.config is not None and self._bad_validations >= self.config.patience

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "best": None if self._best == math.inf else self._best,
            "best_step": self._best_step,
            "bad_validations": self._bad_validations,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self._best = math.inf if state["best"] is None else state["best"]
        self._best_step, self._bad_validations = state["best_step"], state["bad_validations"]

    @staticmethod
    def _watched(name: str, values: Mapping[str, Value]) -> Value:
        if name not in values:
            raise ConfigError(
                f"$.training.early_stopping.metric: '{name}' is no value of training.validation, which yields {', '.join(values)}. "
                "Choose one of these, or add a metric to training.validation."
            )
        return values[name]
