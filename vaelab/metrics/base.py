"""Base of the metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Batch, Split


@dataclass(frozen=True)
class Value:
    """A measured number.

    Attributes:
        value: the number.
        stderr: standard error of its mean over the data, or None where it is no mean.
        unit: `nats` unless it says otherwise; empty for a pure number.
        better: which direction is better, or None where neither is.
    """

    value: float
    stderr: float | None = None
    unit: str = "nats"
    better: str | None = None


@dataclass(frozen=True)
class EvaluationContext:
    """How a metric is to be computed.

    Attributes:
        batch_size: data a pass.
        seed: of every draw.
        limit: use the first so many data only, or all where None.
    """

    batch_size: int = 500
    seed: int = 0
    limit: int | None = None

    def batches(self, split: Split) -> Iterator[Batch]:
        """The split in its own order, once."""
        number = len(split) if self.limit is None else min(self.limit, len(split))
        return split.batches(torch.arange(number), self.batch_size)


C = TypeVar("C", bound=ComponentConfig)


class Metric(ABC, Generic[C]):
    """Maps a model and a split to named numbers. The names say the estimator's choices, such as `nll_is128`."""

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        """The numbers. Called without gradients, in evaluation mode, with the random state seeded."""


def measure(
    metrics: Iterable[ComponentConfig], model: VAE, split: Split, context: EvaluationContext
) -> dict[str, Value]:
    """All metrics on one split. Neither the model's mode nor any random state is changed by it."""
    values: dict[str, Value] = {}
    for config in metrics:
        metric: Metric[Any] = METRICS.build(config)
        with model.evaluating(), torch.no_grad(), seeded(context.seed):
            values |= metric.evaluate(model, split, context)
    return values


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Every random state seeded inside the block, and as it was after it."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
