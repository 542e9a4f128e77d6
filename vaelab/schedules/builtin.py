"""The built-in schedules."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from vaelab.registry import SCHEDULES, ComponentConfig
from vaelab.schedules.base import Schedule, SpanConfig
from vaelab.types import StepContext


class ConstantConfig(ComponentConfig):
    """A number; what a bare number in the JSON means."""

    kind: Literal["constant"] = "constant"

    value: float = 1.0
    """The value."""


@SCHEDULES.register(ConstantConfig)
class Constant(Schedule[ConstantConfig]):
    """The same value at each step. A bare number in the JSON means this.

    $v(t) = v$.

    *Cost*: none.

    Use it by writing the number alone.
    """

    constant = True

    def __call__(self, context: StepContext) -> float:
        return self.config.value

    def least(self) -> float:
        return self.config.value


class LinearConfig(SpanConfig):
    """From `start` to `end`."""

    kind: Literal["linear"] = "linear"

    start: float = 0.0
    """Value at step 0."""

    end: float = 1.0
    """Value from the end of the span on."""


@SCHEDULES.register(LinearConfig)
class Linear(Schedule[LinearConfig]):
    r"""A straight line from `start` to `end`, then `end`: the KL warm-up of Sønderby et al. (2016).

    $v(t) = s + (e - s) \min(1, t)$, t being 1 at the end of the span.

    *Cost*: none.

    Use it for the warm-up of the KL, the most common remedy against collapse; too short a ramp does nothing, and one as
    long as the run trains no bound.
    """

    def __call__(self, context: StepContext) -> float:
        c = self.config
        t = min(1.0, context.step / c.span(context))
        return c.start + (c.end - c.start) * t

    def least(self) -> float:
        return min(self.config.start, self.config.end)


class CosineConfig(SpanConfig):
    """From `start` to `end` along half a cosine, after an optional warm-up."""

    kind: Literal["cosine"] = "cosine"

    start: float = 1e-3
    """Value after the warm-up."""

    end: float = 0.0
    """Value from the end of the span on."""

    warmup_steps: int = Field(0, ge=0)
    """Steps over which the value rises from 0 to `start` in a straight line; part of the span."""


@SCHEDULES.register(CosineConfig)
class Cosine(Schedule[CosineConfig]):
    r"""Half a cosine from `start` to `end`, with a warm-up (Loshchilov & Hutter 2017, without restarts).

    $v(t) = e + \frac12 (s - e)(1 + \cos \pi t)$, with s and e the start and the end and t from 0 to 1 over the span
    after the warm-up.

    *Cost*: none.

    Use it for the learning rate of a run of known length; a run that is cut short has not seen its small rates.
    """

    def __call__(self, context: StepContext) -> float:
        c = self.config
        if context.step < c.warmup_steps:
            return c.start * (context.step + 1) / c.warmup_steps
        length = max(1.0, c.span(context) - c.warmup_steps)
        t = min(1.0, (context.step - c.warmup_steps) / length)
        return c.end + 0.5 * (c.start - c.end) * (1 + math.cos(math.pi * t))

    def least(self) -> float:
        first = self.config.start / self.config.warmup_steps if self.config.warmup_steps else self.config.start
        return min(first, self.config.start, self.config.end)


class ExponentialConfig(SpanConfig):
    """Multiplied by `factor` once a span."""

    kind: Literal["exponential"] = "exponential"

    start: float = 1e-3
    """Value at step 0."""

    factor: PositiveFloat = 0.1
    """What one span multiplies the value by."""


@SCHEDULES.register(ExponentialConfig)
class Exponential(Schedule[ExponentialConfig]):
    r"""Exponential decay, `start * factor ** (step / span)`.

    $v(t) = s\,f^{\,t}$, t being 1 at the end of the span.

    *Cost*: none.

    Use it for temperatures and learning rates that should fall by a factor; it never reaches zero.
    """

    def __call__(self, context: StepContext) -> float:
        c = self.config
        # a factor above 1 would overflow at some time
        exponent = min(700.0, math.log(c.factor) * context.step / c.span(context))
        return c.start * math.exp(exponent)

    def least(self) -> float | None:
        # never past 0, and where it falls towards 0 there is no least value
        start, grows = self.config.start, self.config.factor > 1
        return (-math.inf if grows else start) if start < 0 else (start if grows or start == 0 else None)


class PiecewiseConfig(ComponentConfig):
    """Constant pieces."""

    kind: Literal["piecewise"] = "piecewise"

    values: tuple[float, ...] = Field((1e-3, 1e-4), min_length=1)
    """The values, one more than there are boundaries."""

    boundaries: tuple[PositiveInt, ...] = (10,)
    """Where the value changes, rising."""

    unit: Literal["steps", "epochs"] = "epochs"
    """What the boundaries count."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(f"{len(self.boundaries)} boundaries need {len(self.boundaries) + 1} values")
        if any(a >= b for a, b in pairwise(self.boundaries)):
            raise ValueError("boundaries must rise")
        return self


@SCHEDULES.register(PiecewiseConfig)
class Piecewise(Schedule[PiecewiseConfig]):
    r"""Constant pieces, such as the decay over 3^i epochs of Burda et al. (2016).

    $v(t) = v_i$ for $b_i \le t < b_{i+1}$.

    *Cost*: none.

    Use it to reproduce schedules of papers step by step; elsewhere `cosine` has fewer numbers to choose.
    """

    def __call__(self, context: StepContext) -> float:
        unit = context.steps_per_epoch if self.config.unit == "epochs" else 1
        passed = sum(context.step >= boundary * unit for boundary in self.config.boundaries)
        return self.config.values[passed]

    def least(self) -> float:
        return min(self.config.values)


class CyclicalConfig(SpanConfig):
    """A ramp that repeats."""

    kind: Literal["cyclical"] = "cyclical"

    start: float = 0.0
    """Value at the start of each cycle."""

    end: float = 1.0
    """Value from the end of each ramp."""

    cycles: PositiveInt = 4
    """Cycles in the span; after it the value stays at `end`."""

    ramp: float = Field(0.5, gt=0, le=1)
    """Part of a cycle that the ramp takes."""


@SCHEDULES.register(CyclicalConfig)
class Cyclical(Schedule[CyclicalConfig]):
    r"""A linear ramp that starts anew each cycle (Fu et al. 2019).

    $v(t) = s + (e - s) \min(1, \tau / r)$ with $\tau$ the place within a cycle and r the part of it that the ramp
    takes.

    *Cost*: none.

    Use it for the weight of the KL against collapse, so that each cycle starts from latents that are in use; the last
    cycle should end at weight 1 and stay there for a while.
    """

    def __call__(self, context: StepContext) -> float:
        c = self.config
        t = context.step / c.span(context)
        if t >= 1:
            return c.end
        within = (t * c.cycles) % 1.0
        return c.start + (c.end - c.start) * min(1.0, within / c.ramp)

    def least(self) -> float:
        return min(self.config.start, self.config.end)


class SigmoidConfig(SpanConfig):
    """A logistic curve over the span."""

    kind: Literal["sigmoid"] = "sigmoid"

    start: float = 0.0
    """Value far before the middle of the span."""

    end: float = 1.0
    """Value far after it."""

    steepness: PositiveFloat = 10.0
    """Slope of the logistic curve, a span being 1."""


@SCHEDULES.register(SigmoidConfig)
class Sigmoid(Schedule[SigmoidConfig]):
    r"""A logistic curve centred on the middle of the span (Bowman et al. 2016).

    $v(t) = s + (e - s)\,\sigma(k (t - \frac12))$, t being 1 at the end of the span.

    *Cost*: none.

    Use it as a warm-up with a gentle start and end; next to `linear` it has one number more and seldom another result.
    """

    def __call__(self, context: StepContext) -> float:
        c = self.config
        t = context.step / c.span(context) - 0.5
        return c.start + (c.end - c.start) / (1 + math.exp(-max(-700.0, c.steepness * t)))

    def least(self) -> float:
        return min(self.config.start, self.config.end)
