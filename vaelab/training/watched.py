"""The value that early stopping watches."""

from __future__ import annotations

from collections.abc import Mapping

from vaelab.errors import ConfigError
from vaelab.metrics import Value


def watched(name: str, values: Mapping[str, Value]) -> Value:
    """The value of a name among those of a validation.

    Raises:
        ConfigError: there is none.
    """
    if name not in values:
        raise ConfigError(
            f"$.training.early_stopping.metric: '{name}' is no value of training.validation, which yields {', '.join(values)}. "
            "Choose one of these, or add a metric to training.validation."
        )
    return values[name]
