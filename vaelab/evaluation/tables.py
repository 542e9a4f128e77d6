"""Evaluations as tables for the screen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vaelab.evaluation.suite import Evaluation
from vaelab.metrics import Value

if TYPE_CHECKING:
    from rich.table import Table

_ARROWS = {"lower": "↓", "higher": "↑", None: ""}
#: A value given for more groups than this stands in the file only; a chain of 28 steps would fill the screen.
_MOST_GROUPS = 6


def table(evaluation: Evaluation | Mapping[str, Any]) -> Table:
    """Name, value with standard error, unit and the better direction of each value; how many data, where not all were used.

    Args:
        evaluation: an evaluation, or what `Evaluation.to_json` yields.
    """
    # escaped, as a source may hold brackets, which rich reads as markup
    from rich.markup import escape
    from rich.table import Table

    if not isinstance(evaluation, Evaluation):
        evaluation = Evaluation.from_json(evaluation)
    source = evaluation.provenance.get("source")
    where = f"{evaluation.split} split, {evaluation.number:,} data" + (f", {escape(str(source))}" if source else "")
    rows = Table(title=f"Evaluation ({where})", title_justify="left", caption_justify="left")
    rows.add_column("metric", no_wrap=True)
    rows.add_column("value ± standard error", justify="right", no_wrap=True)
    rows.add_column("unit")
    rows.add_column("better", justify="center")
    numbers = {n: v.number for n, v in evaluation.values.items() if v.number not in (None, evaluation.number)}
    if numbers:
        rows.add_column("of data", justify="right")
    groups = Counter(_stem(name) for name in evaluation.values)
    for name, value in evaluation.values.items():
        if groups[_stem(name)] <= _MOST_GROUPS:
            number = [f"{numbers[name]:,}"] if name in numbers else []
            rows.add_row(escape(name), written(value), value.unit, _ARROWS[value.better], *number)
        else:
            rows.caption = f"Values by latent group are not shown where there are more than {_MOST_GROUPS}."
    return rows


def _stem(name: str) -> str:
    stem, separator, _ = name.partition("/group_")
    return stem + separator


def written(value: Value) -> str:
    """A value with the digits that its standard error leaves, `98.42 ± 0.25`, or four significant ones."""
    error = value.stderr
    # a constant has no standard error but that of rounding
    if error is not None and math.isfinite(error) and error > 1e-9 * abs(value.value):
        digits = max(0, 1 - math.floor(math.log10(error)))
        return f"{value.value:.{digits}f} ± {error:.{digits}f}"
    # counts are not rounded
    return f"{value.value:.0f}" if value.value.is_integer() else f"{value.value:.4g}"
