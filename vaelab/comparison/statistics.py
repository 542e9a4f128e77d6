"""Differences between two configurations, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

#: Seeds below which an interval of the bootstrap says too little: n differences have one sign by chance with the
#: probability 2^(1 - n), and then no resample has a mean of the other sign.
LEAST_SEEDS = 5

_RESAMPLES = 10_000


@dataclass(frozen=True)
class Difference:
    """The mean of one configuration less that of another, with an interval.

    Attributes:
        value: the difference.
        low: lower end of the interval, or None where nothing is known of its error.
        high: upper end.
        pairs: seeds that both configurations have, or 0 where the interval is over data.
        over: what varies: `seeds` where pairs of runs with the same seed were resampled; `data` where each has one run,
            so that the interval speaks of these two trained models and not of their configurations.
    """

    value: float
    low: float | None
    high: float | None
    pairs: int
    over: Literal["seeds", "data"]

    @property
    def decided(self) -> bool:
        """Whether the interval excludes 0, and is one that may be trusted."""
        if self.low is None or self.high is None or (self.over == "seeds" and self.pairs < LEAST_SEEDS):
            return False
        return self.low > 0 or self.high < 0


def over_seeds(one: Mapping[int, float], other: Mapping[int, float], level: float = 0.95, seed: int = 0) -> Difference:
    r"""By the paired bootstrap over the seeds that both have.

    Differences $d_s = a_s - b_s$ are resampled with replacement, and the interval lies between two percentiles of their
    means. The percentiles are those of the expanded interval (Hesterberg 2015, section 5.3), with the tail probability
    $\Phi(-\sqrt{n/(n-1)}\,t_{n-1})$ in place of $\alpha/2$, as the plain one is too narrow for a few seeds.

    Args:
        one: value by seed.
        other: value by seed.
        level: of the interval.
        seed: of the resampling.
    """
    from scipy import stats

    shared = sorted(one.keys() & other.keys())
    if len(shared) < 2:
        value = float(np.mean(list(one.values())) - np.mean(list(other.values())))
        return Difference(value, None, None, len(shared), "seeds")
    differences = np.array([one[s] - other[s] for s in shared])
    number = len(differences)
    rows = np.random.default_rng(seed).integers(number, size=(_RESAMPLES, number))
    means = differences[rows].mean(1)
    tail = stats.norm.cdf(math.sqrt(number / (number - 1)) * stats.t.ppf((1 - level) / 2, number - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Difference(float(differences.mean()), float(low), float(high), number, "seeds")


def over_data(one: tuple[float, float | None], other: tuple[float, float | None], level: float = 0.95) -> Difference:
    r"""Of two runs, from the standard errors over the data that were stored with their values.

    $a - b \pm z\sqrt{s_a^2 + s_b^2}$. What each datum came to is not stored, so the data cannot be paired. Models
    find the same data hard, so the interval is wider than a paired one would be, and errs on the side of saying nothing.

    Args:
        one: value and standard error.
        other: value and standard error.
        level: of the interval.
    """
    from scipy import stats

    value = one[0] - other[0]
    if one[1] is None or other[1] is None:
        return Difference(value, None, None, 0, "data")
    half = float(stats.norm.ppf(0.5 + level / 2)) * math.hypot(one[1], other[1])
    return Difference(value, value - half, value + half, 0, "data")
