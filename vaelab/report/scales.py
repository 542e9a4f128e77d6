"""Axes: where the ticks are and what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within [low, high], at distances of 1, 2 or 5 times a power of ten."""
    span = high - low
    if not span > 0:
        return [low]
    rough = span / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) + 0.0 for number in range(first, last + 1)]


def label(value: float) -> str:
    """A number with as few characters as it takes."""
    if value == 0:
        return "0"
    if abs(value) >= 1e5 or abs(value) < 1e-3:
        return f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    return f"{value:,.6g}".removesuffix(".0")


def limits(values: Sequence[float], margin: float = 0.06) -> tuple[float, float]:
    """The least and the greatest with a margin; some room around a constant."""
    low, high = min(values), max(values)
    room = margin * (high - low) or 0.05 * abs(high) or 0.5
    return low - room, high + room


def thinned(points: Sequence[tuple[float, float, float]], most: int = 400) -> list[tuple[float, float, float]]:
    """At most so many points, evenly taken, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    places = sorted({round(i * (len(points) - 1) / (most - 1)) for i in range(most)})
    return [points[place] for place in places]
