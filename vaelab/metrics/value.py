"""A measured number."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

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
        terms: the numbers of which it is the mean `[N]`, float64, while it is being measured.
    """

    value: float
    stderr: float | None = None
    unit: str = "nats"
    better: Better | None = None
    extractor: str | None = None
    number: int | None = field(default=None, compare=False)
    terms: Tensor | None = field(default=None, compare=False, repr=False)


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
    return Value(float(everything.mean()), stderr, unit, better, number=number, terms=everything)
