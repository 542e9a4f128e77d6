"""What the lines of a finished training tell. The thresholds are explained in docs/report.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from vaelab.health.finding import Finding
from vaelab.health.rules import Line, Point, point

#: Gain of the last quarter of the training, as a share of the whole gain, from which it was stopped early.
STILL_FALLING = 0.02
#: Change of the loss, as a share of its first value, below which nothing was learned.
STUCK = 0.01


def at_the_end(lines: Sequence[Line]) -> list[Finding]:
    """What can be said of a finished training alone."""
    loss = [found for line in lines if line.get("split") == "train" and (found := point(line, "loss"))]
    if len(loss) < 8:
        return []
    part = max(1, len(loss) // 8)
    first = loss[0].value
    before, last = (_mean(points) for points in (loss[-2 * part : -part], loss[-part:]))
    whole = first - min(before, last)
    if abs(first - last) < STUCK * abs(first):
        return [
            Finding(
                "loss_stuck",
                "problem",
                "The loss did not move",
                f"It was {first:.4g} at step {loss[0].step} and {last:.4g} at the end.",
                "The learning rate is much too small or much too large, or no gradient reaches the weights.",
                "Change the learning rate tenfold, both ways, for an epoch each.",
            )
        ]
    # twice the gain of the last eighth over the one before it: the gain of a quarter
    gain = 2 * (before - last)
    noise = _deviation(loss[-2 * part :]) / math.sqrt(part)
    if whole > 0 and gain > STILL_FALLING * whole and before - last > 2 * noise:
        return [
            Finding(
                "still_falling",
                "note",
                "The loss was still falling at the end",
                f"The last quarter of the training lowered it by about {gain:.3g}, "
                f"{100 * gain / whole:.0f} % of all that was gained.",
                "The training is short for this learning rate.",
                "Train longer, or raise the learning rate.",
            )
        ]
    return []


def _mean(points: Sequence[Point]) -> float:
    return sum(point.value for point in points) / len(points)


def _deviation(points: Sequence[Point]) -> float:
    """Of successive differences, so that a trend does not count as noise."""
    steps = [b.value - a.value for a, b in pairwise(points)]
    if len(steps) < 2:
        return 0.0
    mean = sum(steps) / len(steps)
    return math.sqrt(sum((step - mean) ** 2 for step in steps) / (len(steps) - 1) / 2)
