"""What the lines of metrics.jsonl tell.

Each rule reads the lines in their order and judges a line by those before it alone. So it says the same while the run is
going, line by line, as afterwards of the whole history. The thresholds are explained in docs/report.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from vaelab.health.finding import Finding

Line = dict[str, Any]

#: Nats of all latents together, below which they carry nothing: a code of 1.1 equally likely messages.
VANISHED = 0.1
#: Steps after which a rate of nothing is no longer the beginning's, where an epoch is longer.
WARM_STEPS = 1000
#: A term this many times as large as the loss has ever been is no measurement any more.
EXPLODED = 20.0
#: A distortion above its first value by this share of it.
WORSE = 0.1
#: A validation above the best one by this share of it, in three validations on end.
OVERFITTED = 0.02
#: Gain of the last quarter of the training, as a share of the whole gain, from which it was stopped early.
STILL_FALLING = 0.02
#: Change of the loss, as a share of its first value, below which nothing was learned.
STUCK = 0.01


class Point(NamedTuple):
    """A value of one line."""

    step: int
    epoch: float
    value: float


def curve(lines: Sequence[Line], split: str, *names: str) -> list[Point]:
    """The values of the first of these names that occurs; what is no finite number is left out."""
    for name in names:
        found = [
            Point(line["step"], line.get("epoch", 0.0), float(line[name]))
            for line in lines
            if line.get("split") == split and isinstance(line.get(name), int | float) and math.isfinite(line[name])
        ]
        if found:
            return found
    return []


def while_training(lines: Sequence[Line]) -> list[Finding]:
    """What can be said before the end."""
    rules = (_vanished, _exploded, _diverged, _overfitted)
    return [finding for rule in rules for finding in rule(lines)]


def at_the_end(lines: Sequence[Line]) -> list[Finding]:
    """What can be said of a finished training alone."""
    loss = curve(lines, "train", "loss")
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


def _vanished(lines: Sequence[Line]) -> list[Finding]:
    rate = curve(lines, "train", "kl", "rate") or curve(lines, "validation", "rate") or curve(lines, "probe", "rate")
    start = next((p for p in rate if (p.epoch >= 1 or p.step >= WARM_STEPS) and p.value < VANISHED), None)
    if start is None:
        return []
    again = next((p for p in rate if p.step > start.step and p.value >= VANISHED), None)
    return [
        Finding(
            "kl_vanishing",
            "problem",
            "The KL vanishes: the latents carry nothing",
            f"The rate is {start.value:.3g} nats a datum at step {start.step}, of all latents together.",
            "The KL won before the decoder had learned to use the latents, or its weight is too large, or the decoder "
            "needs no latents.",
            "Raise the weight of the KL from 0 over some epochs (a schedule such as 'linear'), add 'free_bits' or "
            "'controlled_kl', lower the weight, or take a weaker decoder.",
            start.step,
            until=again.step if again else None,
        )
    ]


def _exploded(lines: Sequence[Line]) -> list[Finding]:
    train = [line for line in lines if line.get("split") == "train"]
    if len(train) < 2:
        return []
    found: dict[str, Finding] = {}
    scale = 1.0
    for line in train:
        terms = {name: abs(line[name]) for name in ("loss", "distortion", "kl", "rate") if _finite(line.get(name))}
        for name, value in terms.items():
            if line is not train[0] and value > EXPLODED * scale and name not in found:
                found[name] = Finding(
                    "exploding_scale",
                    "problem",
                    f"'{name}' explodes",
                    f"It is {line[name]:.3g} at step {line['step']}, and nothing was above {scale:.3g} before.",
                    "A scale that the posterior or the likelihood predicts runs off, or the learning rate is too large.",
                    "Lower the learning rate, set training.gradient_clip, predict scales by 'softplus' or "
                    "'log_variance' in place of 'linear', or bring the data to unit variance.",
                    line["step"],
                    name,
                )
        scale = max(scale, *terms.values(), 0.0) if not found else scale
    return list(found.values())


def _diverged(lines: Sequence[Line]) -> list[Finding]:
    distortion = curve(lines, "train", "distortion", "loss")
    if not distortion:
        return []
    first, step = distortion[0].value, distortion[0].step
    start = next((p for p in distortion[1:] if p.value > first + WORSE * abs(first)), None)
    if start is None:
        return []
    again = next((p for p in distortion if p.step > start.step and p.value <= first), None)
    return [
        Finding(
            "diverging",
            "problem",
            "The model reconstructs worse than at the start",
            f"The distortion is {start.value:.4g} at step {start.step}, and was {first:.4g} at step {step}.",
            "The learning rate is too large, or a growing weight of another term pays better than reconstruction.",
            "Lower the learning rate, warm it up, set training.gradient_clip, or lower the weights of the terms.",
            start.step,
            until=again.step if again else None,
        )
    ]


def _overfitted(lines: Sequence[Line]) -> list[Finding]:
    values = curve(lines, "validation", "negative_elbo", "distortion")
    best, run = math.inf, 0
    best_step = 0
    for point in values:
        if point.value < best:
            best, best_step, run = point.value, point.step, 0
        elif point.value > best + OVERFITTED * abs(best):
            run += 1
        else:
            run = 0
        if run == 3:
            return [
                Finding(
                    "overfitting",
                    "warning",
                    "Validation gets worse while training goes on",
                    f"The best value was {best:.4g} at step {best_step}; at step {point.step} it is {point.value:.4g}.",
                    "The model fits the training data and no longer the others.",
                    "Set training.early_stopping, take a smaller model or more data, or add noise (dropout, "
                    "'dynamic' binarisation).",
                    point.step,
                )
            ]
    return []


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _mean(points: Sequence[Point]) -> float:
    return sum(point.value for point in points) / len(points)


def _deviation(points: Sequence[Point]) -> float:
    """Of successive differences, so that a trend does not count as noise."""
    steps = [b.value - a.value for a, b in pairwise(points)]
    if len(steps) < 2:
        return 0.0
    mean = sum(steps) / len(steps)
    return math.sqrt(sum((step - mean) ** 2 for step in steps) / (len(steps) - 1) / 2)
