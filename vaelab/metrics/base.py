"""Base of the metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, TypeVar

import torch

from vaelab.errors import ConfigError, DataError, VaelabError
from vaelab.metrics.sharing import dealt
from vaelab.metrics.value import Better, Value, averaged
from vaelab.model import VAE
from vaelab.processes import ALONE, Processes, share, stream_seed
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Batch, DataSpec, DataSplits, Split

#: Data on which an untrained model is measured, to see which values there will be.
_FEW = 200


@dataclass(frozen=True)
class EvaluationContext:
    """How a metric is to be computed.

    Attributes:
        batch_size: data a pass.
        seed: of every draw.
        limit: use the first so many data only, or all where None.
        data: the whole data set, for samplers that are fitted to its training data.
        memory: what metrics of one evaluation share, such as generated pictures, by a key of theirs.
        processes: who measure together.
        seeded: whether each batch has draws of its own, which follow from `seed` and its place alone; `measure` says so.
        part: whether `batches` are those of this process's part of the data.
        metric: which one is being computed; `measure` says so.
        told: called by `batches` after each one with the metric, how many data are done, and how many there are.
    """

    batch_size: int = 500
    seed: int = 0
    limit: int | None = None
    data: DataSplits | None = None
    memory: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    processes: Processes = ALONE
    seeded: bool = False
    part: bool = False
    metric: str = ""
    told: Callable[[str, int, int], None] | None = field(default=None, compare=False, repr=False)

    def batches(self, split: Split) -> Iterator[Batch]:
        """The split in its own order, once, or this process's part of it."""
        number = len(split) if self.limit is None else min(self.limit, len(split))
        chosen = range(-(-number // self.batch_size))
        if self.part:
            chosen = share(len(chosen), self.processes.number, self.processes.rank)
        order = torch.arange(number)[chosen.start * self.batch_size : chosen.stop * self.batch_size]
        batches = split.batches(order, self.batch_size)
        done = 0
        for place in chosen:
            if self.seeded:
                # before the batch is fetched, since binarisation may draw as well
                torch.manual_seed(stream_seed(self.seed, place))
            batch = next(batches)
            yield batch
            done += len(batch)
            if self.told is not None:
                self.told(self.metric, done, len(order))

    def some(self, split: Split, number: int | None) -> Iterator[Batch]:
        """At most so many data of a split, in a random order that follows from `seed` alone."""
        # of a generator of its own, so that what other metrics have drawn already does not matter
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(self.seed))
        return split.batches(order[:number], self.batch_size)

    def limited(self, limit: int | None) -> EvaluationContext:
        """The same context, restricted to the first `limit` data as well."""
        limits = [number for number in (self.limit, limit) if number is not None]
        return replace(self, limit=min(limits) if limits else None)


__all__ = ["Better", "EvaluationContext", "Metric", "Value", "averaged", "check_metrics", "measure", "seeded"]

C = TypeVar("C", bound=ComponentConfig)


class Metric(ABC, Generic[C]):
    """Maps a model and a split to named numbers. The names say the estimator's choices, such as `nll_is128`.

    Attributes:
        by_datum: whether every value is `averaged` over one pass through `EvaluationContext.batches`, and what a batch gives
            depends on no other, so that several processes may share the data.
    """

    by_datum: ClassVar[bool] = False

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
    context = replace(context, memory={}, seeded=True)  # nothing of another model or split may be found in the memory
    built: list[Metric[Any]] = [METRICS.build(config) for config in metrics]

    def evaluate(i: int) -> dict[str, Value] | None:
        metric = built[i]
        metric.check(split.spec)
        own = replace(context, part=metric.by_datum and context.processes.many, metric=metric.config.kind)
        with model.evaluating(), torch.no_grad(), seeded(context.seed):
            if own.part and next(own.batches(split), None) is None:
                return None
            return metric.evaluate(model, split, own)

    values: dict[str, Value] = {}
    found = dealt([metric.by_datum for metric in built], evaluate, context.processes)
    for metric, new in zip(built, found, strict=True):
        if taken := sorted(values.keys() & new.keys()):
            raise ConfigError(
                f"metric '{metric.config.kind}' and one before it both yield '{taken[0]}'; remove one of the two"
            )
        values |= {name: replace(value, terms=None) for name, value in new.items()}
    return values


def foreseen(metrics: Iterable[ComponentConfig], model: VAE, data: DataSplits) -> dict[str, Value]:
    """The values that a training with validation data will log, of a model that was not trained; few data do for most.

    Raises:
        DataError: there are no validation data.
        VaelabError: as `measure` does.
    """
    if data.validation is None:
        raise DataError('there are no validation data. Set "validation" in the data.')
    try:
        return measure(metrics, model, data.validation, EvaluationContext(limit=_FEW, data=data))
    except VaelabError:
        # a metric that needs more data, such as some of each class
        return measure(metrics, model, data.validation, EvaluationContext(data=data))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Every random state seeded inside the block, and as it was after it."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
