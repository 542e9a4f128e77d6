"""Codes with the labels of their data; what the metrics of representation share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from vaelab.errors import DataError
from vaelab.metrics.base import EvaluationContext, seeded
from vaelab.metrics.disentanglement.arrays import Array
from vaelab.metrics.factor_codes import encode
from vaelab.model import VAE
from vaelab.registry import ComponentConfig
from vaelab.types import Batch, Split


class RepresentationConfig(ComponentConfig):
    """Arguments of every metric that compares codes with labels."""

    groups: tuple[NonNegativeInt, ...] | None = None
    """The latent groups that are the code, counted from 0; all where null."""


class ProbeConfig(RepresentationConfig):
    """Arguments of every classifier that is trained on codes."""

    train: PositiveInt = 10_000
    """M, learn from at most so many training data, chosen at random; the number is in the name."""


@dataclass(frozen=True)
class LabelledCodes:
    """Some data encoded.

    Attributes:
        codes: `[N, D]`, float64, the centre of each posterior, its groups side by side.
        labels: `[N]`, int64.
    """

    codes: Array
    labels: Array

    def __len__(self) -> int:
        return len(self.labels)


def labelled(
    metric: str, model: VAE, batches: Iterable[Batch], groups: tuple[int, ...] | None = None
) -> LabelledCodes | None:
    """The codes and labels of some data, or None where there are no labels.

    Args:
        metric: kind of the metric, for messages.
        model: the model.
        batches: the data.
        groups: see `RepresentationConfig`.

    Raises:
        DataError: a code is NaN or infinite.
    """
    labels: list[Array] = []

    def watched() -> Iterator[Batch]:
        for batch in batches:
            if batch.y is not None:
                labels.append(batch.y.cpu().numpy())
            yield batch

    codes = encode(model, watched(), groups).mean
    if not labels:
        return None
    if not np.isfinite(codes).all():
        raise DataError(
            f"metric '{metric}': some of the codes are NaN or infinite. The model's encoder has diverged; train it anew "
            "with a lower learning rate."
        )
    return LabelledCodes(codes, np.concatenate(labels))


def train_and_test(
    config: ProbeConfig, model: VAE, split: Split, context: EvaluationContext
) -> tuple[LabelledCodes, LabelledCodes] | None:
    """The codes to learn from and those of the split, or None where the data have no labels.

    Both are shared by the metrics of one evaluation that agree in these arguments.

    Raises:
        DataError: the evaluation was given no training data, or these have one label only.
    """
    if split.spec.num_classes is None:
        return None
    if context.data is None:
        raise DataError(
            f"metric '{config.kind}' learns from training data, and the evaluation was given none. Pass `data` to "
            "EvaluationContext, or remove the metric."
        )
    train = context.data.train.to(model.device)

    # each pass seeded, so that what other metrics have encoded already does not matter
    def encoded(name: str, batches: Iterable[Batch]) -> LabelledCodes | None:
        key = f"labelled codes {name} {config.groups} {context.limit}"
        if key not in context.memory:
            with seeded(context.seed):
                context.memory[key] = labelled(config.kind, model, batches, config.groups)
        found: LabelledCodes | None = context.memory[key]
        return found

    known = encoded(f"train {config.train}", context.some(train, config.train))
    asked = encoded("split", context.batches(split))
    if known is None or asked is None:
        return None
    if len(np.unique(known.labels)) < 2:
        raise DataError(
            f"metric '{config.kind}': the {len(known)} training data used have one label only, so there is nothing to "
            "tell apart. Raise 'train', or use data with two labels or more."
        )
    return known, asked
