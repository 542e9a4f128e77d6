"""What the lines of metrics.jsonl tell while they come.

Each rule judges a line by those before it alone, and remembers a few numbers of them. So it says the same while the run is
going as afterwards of the whole history, and a line costs the same after a million others. The thresholds are explained in
docs/report.md.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from vaelab.health.finding import Finding

Line = Mapping[str, Any]

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


class Point(NamedTuple):
    """A value of one line."""

    step: int
    epoch: float
    value: float


def point(line: Line, name: str) -> Point | None:
    """The value of this name, or None where it is no finite number."""
    value = line.get(name)
    if isinstance(value, int | float) and math.isfinite(value):
        return Point(line["step"], line.get("epoch", 0.0), float(value))
    return None


class Rules:
    """All that can be said before the end of a training."""

    def __init__(self) -> None:
        # of several names for one thing the first that occurs counts
        self._vanished = [_Vanished(*key) for key in (("train", "kl"), ("train", "rate"), ("validation", "rate"))]
        self._vanished.append(_Vanished("probe", "rate"))
        self._exploded = _Exploded()
        self._diverged = [_Diverged("train", name) for name in ("distortion", "loss")]
        self._overfitted = [_Overfitted("validation", name) for name in ("negative_elbo", "distortion")]

    def look(self, lines: Iterable[Line]) -> None:
        """The next lines, in their order."""
        for line in lines:
            self._exploded.look(line)
            for curve in (*self._vanished, *self._diverged, *self._overfitted):
                curve.look(line)

    def findings(self) -> list[Finding]:
        """What the lines so far say."""
        found = list(self._exploded.found.values())
        for curves in (self._vanished, self._diverged, self._overfitted):
            occurs = next((curve for curve in curves if curve.occurs), None)
            finding = occurs.finding() if occurs else None
            found += [finding] if finding else []
        return found


class _Curve(ABC):
    """A rule on the values of one name in the lines of one split."""

    def __init__(self, split: str, name: str) -> None:
        self.split, self.name = split, name
        self.occurs = False

    def look(self, line: Line) -> None:
        if line.get("split") == self.split and (found := point(line, self.name)):
            self.add(found)
            self.occurs = True

    @abstractmethod
    def add(self, point: Point) -> None: ...

    @abstractmethod
    def finding(self) -> Finding | None: ...


class _Vanished(_Curve):
    _start: Point | None = None
    _until: int | None = None

    def add(self, point: Point) -> None:
        if self._start is None:
            late = point.epoch >= 1 or point.step >= WARM_STEPS
            self._start = point if late and point.value < VANISHED else None
        elif self._until is None and point.step > self._start.step and point.value >= VANISHED:
            self._until = point.step

    def finding(self) -> Finding | None:
        if self._start is None:
            return None
        return Finding(
            "kl_vanishing",
            "problem",
            "The KL vanishes: the latents carry nothing",
            f"The rate is {self._start.value:.3g} nats a datum at step {self._start.step}, of all latents together.",
            "The KL won before the decoder had learned to use the latents, or its weight is too large, or the decoder "
            "needs no latents.",
            "Raise the weight of the KL from 0 over some epochs (a schedule such as 'linear'), add 'free_bits' or "
            "'controlled_kl', lower the weight, or take a weaker decoder.",
            self._start.step,
            until=self._until,
        )


class _Exploded:
    def __init__(self) -> None:
        self.found: dict[str, Finding] = {}
        self._scale: float | None = None

    def look(self, line: Line) -> None:
        if line.get("split") != "train":
            return
        terms = {name: found for name in ("loss", "distortion", "kl", "rate") if (found := point(line, name))}
        scale = self._scale
        for name, term in terms.items():
            if scale is not None and abs(term.value) > EXPLODED * scale and name not in self.found:
                self.found[name] = Finding(
                    "exploding_scale",
                    "problem",
                    f"'{name}' explodes",
                    f"It is {term.value:.3g} at step {term.step}, and nothing was above {scale:.3g} before.",
                    "A scale that the posterior or the likelihood predicts runs off, or the learning rate is too large.",
                    "Lower the learning rate, set training.gradient_clip, predict scales by 'softplus' or "
                    "'log_variance' in place of 'linear', or bring the data to unit variance.",
                    term.step,
                    name,
                )
        if not self.found:
            self._scale = max(scale or 1.0, *(abs(term.value) for term in terms.values()), 0.0)


class _Diverged(_Curve):
    _first: Point | None = None
    _start: Point | None = None
    _until: int | None = None

    def add(self, point: Point) -> None:
        if self._first is None:
            self._first = point
        elif self._start is None:
            worse = point.value > self._first.value + WORSE * abs(self._first.value)
            self._start = point if worse else None
        elif self._until is None and point.value <= self._first.value:
            self._until = point.step

    def finding(self) -> Finding | None:
        if self._first is None or self._start is None:
            return None
        first, start = self._first, self._start
        return Finding(
            "diverging",
            "problem",
            "The model reconstructs worse than at the start",
            f"The distortion is {start.value:.4g} at step {start.step}, and was {first.value:.4g} at step {first.step}.",
            "The learning rate is too large, or a growing weight of another term pays better than reconstruction.",
            "Lower the learning rate, warm it up, set training.gradient_clip, or lower the weights of the terms.",
            start.step,
            until=self._until,
        )


class _Overfitted(_Curve):
    _best: Point | None = None
    _run = 0
    _seen: tuple[Point, Point] | None = None

    def add(self, point: Point) -> None:
        if self._seen is not None:
            return
        best = self._best
        if best is None or point.value < best.value:
            self._best, self._run = point, 0
            return
        self._run = self._run + 1 if point.value > best.value + OVERFITTED * abs(best.value) else 0
        if self._run == 3:
            self._seen = best, point

    def finding(self) -> Finding | None:
        if self._seen is None:
            return None
        best, worse = self._seen
        return Finding(
            "overfitting",
            "warning",
            "Validation gets worse while training goes on",
            f"The best value was {best.value:.4g} at step {best.step}; at step {worse.step} it is {worse.value:.4g}.",
            "The model fits the training data and no longer the others.",
            "Set training.early_stopping, take a smaller model or more data, or add noise (dropout, "
            "'dynamic' binarisation).",
            worse.step,
        )


def while_training(lines: Iterable[Line]) -> list[Finding]:
    """What the lines of a run say before its end."""
    rules = Rules()
    rules.look(lines)
    return rules.findings()
