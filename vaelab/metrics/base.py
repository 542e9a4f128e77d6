"""Base of the metrics."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor

from vaelab.errors import ConfigError, DataError
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Batch, DataSpec, DataSplits, Split

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Value:
    """A measured number.

    Attributes:
        value: the number.
        stderr: standard error of its mean over the data, or None where it is no mean.
        unit: `nats` unless it says otherwise; empty for a pure number.
        better: which direction is better, or None where neither is.
        extractor: of the features that it rests on, with the beginning of its checksum, or None where there are none. Values
            by different extractors do not compare.
        number: of data that it is a mean over, or None where it is no mean.
    """

    value: float
    stderr: float | None = None
    unit: str = "nats"
    better: Better | None = None
    extractor: str | None = None
    number: int | None = field(default=None, compare=False)


def averaged(terms: Iterable[Tensor], unit: str = "nats", better: Better | None = None) -> Value:
    """The mean of one number a datum, with its standard error $s / \\sqrt{N}$.

    Args:
        terms: `[B]` of each batch. A smaller last batch weighs no more than its data do.
        unit: of the number.
        better: which direction is better.
    """
    everything = torch.cat([term.cpu().double() for term in terms])
    number = len(everything)
    # one datum has a mean and no standard error
    stderr = float(everything.std()) / math.sqrt(number) if number > 1 else None
    return Value(float(everything.mean()), stderr, unit, better, number=number)


@dataclass(frozen=True)
class EvaluationContext:
    """How a metric is to be computed.

    Attributes:
        batch_size: data a pass.
        seed: of every draw.
        limit: use the first so many data only, or all where None.
        data: the whole data set, for samplers that are fitted to its training data.
        memory: what metrics of one evaluation share, such as generated pictures, by a key of theirs.
    """

    batch_size: int = 500
    seed: int = 0
    limit: int | None = None
    data: DataSplits | None = None
    memory: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def batches(self, split: Split) -> Iterator[Batch]:
        """The split in its own order, once."""
        number = len(split) if self.limit is None else min(self.limit, len(split))
        return split.batches(torch.arange(number), self.batch_size)

    def limited(self, limit: int | None) -> EvaluationContext:
        """The same context, restricted to the first `limit` data as well."""
        limits = [number for number in (self.limit, limit) if number is not None]
        return replace(self, limit=min(limits) if limits else None)


C = TypeVar("C", bound=ComponentConfig)


class Metric(ABC, Generic[C]):
    """Maps a model and a split to named numbers. The names say the estimator's choices, such as `nll_is128`."""

    def __init__(self, config: C) -> None:
        self.config = config

    def check(self, data: DataSpec) -> None:
        """Refuse data that the metric has no meaning for; called before a training, so that none is in vain.

        Raises:
            VaelabError: naming the metric and what the data lack.
        """

    @abstractmethod
    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        """The numbers; none where the model has no such thing.

        Called without gradients, in evaluation mode, with the random state seeded and the split on the model's device.
        """


def check_metrics(metrics: Iterable[ComponentConfig], data: DataSpec) -> None:
    """Refuse metrics that have no meaning for such data. Raises as `Metric.check` does."""
    for config in metrics:
        metric: Metric[Any] = METRICS.build(config)
        metric.check(data)


def measure(
    metrics: Iterable[ComponentConfig], model: VAE, split: Split, context: EvaluationContext
) -> dict[str, Value]:
    """All metrics on one split. Neither the model's mode nor any random state is changed by it.

    Raises:
        DataError: the split is empty.
        ConfigError: two metrics yield a value of the same name.
    """
    if len(split) == 0:
        raise DataError("there is nothing to evaluate on: the split is empty")
    split = split.to(model.device)
    context = replace(context, memory={})  # nothing of another model or split may be found there
    values: dict[str, Value] = {}
    for config in metrics:
        metric: Metric[Any] = METRICS.build(config)
        metric.check(split.spec)
        with model.evaluating(), torch.no_grad(), seeded(context.seed):
            found = metric.evaluate(model, split, context)
        if taken := sorted(values.keys() & found.keys()):
            raise ConfigError(
                f"metric '{config.kind}' and one before it both yield '{taken[0]}'; remove one of the two"
            )
        values |= found
    return values


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Every random state seeded inside the block, and as it was after it."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
