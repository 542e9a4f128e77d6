"""Scores that hold one factor fixed and watch the codes."""

from __future__ import annotations

import numpy as np

from vaelab.metrics.disentanglement.arrays import Array, checked


class _SameValue:
    """Draws data that share a factor's value with others, uniformly and with replacement."""

    def __init__(self, factors: Array) -> None:
        self.number, self.factors = factors.shape
        self.order = np.argsort(factors, axis=0, kind="stable")
        self.first, self.count = np.empty_like(factors), np.empty_like(factors)
        for k, factor in enumerate(factors.T):
            _, which, count = np.unique(factor, return_inverse=True, return_counts=True)
            self.first[:, k], self.count[:, k] = (np.cumsum(count) - count)[which], count[which]

    def draw(self, rng: np.random.Generator, rows: Array, factor: Array) -> Array:
        """One row for each of `rows`, with the same value of the factor; the two arrays have the same shape."""
        place = self.first[rows, factor] + rng.integers(self.count[rows, factor])
        drawn: Array = self.order[place, factor]
        return drawn


def beta_vae_score(
    codes: Array, factors: Array, pairs: int = 64, train: int = 10_000, test: int = 5_000, seed: int = 0
) -> float:
    r"""BetaVAE score: accuracy of a linear classifier that tells which factor pairs of data share (Higgins et al. 2017).

    A point is $\frac1L \sum_l \lvert z(x_l) - z(x_l')\rvert$ over L pairs, in each of which factor k has one value and the
    others are free; a logistic regression predicts k. The data of a pair are drawn from the rows.

    Args:
        codes: `[N, D]`.
        factors: `[N, F]`.
        pairs: L.
        train: points to learn from.
        test: points to test on.
        seed: of the draws.

    Raises:
        DataError: the arrays do not fit, or there is one factor only.
    """
    from sklearn.linear_model import LogisticRegression

    codes, factors = checked(codes, factors, least_factors=2)
    rng, same = np.random.default_rng(seed), _SameValue(factors)
    fixed = rng.integers(same.factors, size=train + test)
    points = np.empty((len(fixed), codes.shape[1]))
    for some in _pieces(len(fixed)):
        first = rng.integers(same.number, size=(len(fixed[some]), pairs))
        second = same.draw(rng, first, np.broadcast_to(fixed[some, None], first.shape))
        points[some] = np.abs(codes[first] - codes[second]).mean(1)
    classifier = LogisticRegression(max_iter=1000).fit(points[:train], fixed[:train])
    return float(classifier.score(points[train:], fixed[train:]))


def factor_vae_score(
    codes: Array,
    factors: Array,
    group: int = 64,
    train: int = 10_000,
    test: int = 5_000,
    threshold: float = 0.05,
    seed: int = 0,
) -> float:
    r"""FactorVAE score: accuracy of a majority vote on which factor is fixed (Kim & Mnih 2018, section 4).

    A vote is $\arg\min_d \widehat{\operatorname{Var}}_l[z_d(x_l)] / \widehat{\operatorname{Var}}[z_d]$ over L data with one
    value of factor k; the factor that most training votes for d came from is the prediction for d. Accuracy on new
    votes, as in Locatello et al. (2019). Codes that hardly vary take no part; 0 where none does.

    Args:
        codes: `[N, D]`.
        factors: `[N, F]`.
        group: L.
        train: votes to learn from.
        test: votes to test on.
        threshold: a code takes part if its variance is larger.
        seed: of the draws.

    Raises:
        DataError: the arrays do not fit, or there is one factor only.
    """
    codes, factors = checked(codes, factors, least_factors=2)
    variance = codes.var(0, ddof=1)
    active = variance > threshold
    if not active.any():
        return 0.0
    codes = codes[:, active] / np.sqrt(variance[active])
    rng, same = np.random.default_rng(seed), _SameValue(factors)
    fixed = rng.integers(same.factors, size=train + test)
    votes = np.empty(len(fixed), np.int64)
    for some in _pieces(len(fixed)):
        anchor = rng.integers(same.number, size=(len(fixed[some]), 1)).repeat(group, axis=1)
        rows = same.draw(rng, anchor, np.broadcast_to(fixed[some, None], anchor.shape))
        votes[some] = codes[rows].var(1, ddof=1).argmin(1)
    table = np.zeros((codes.shape[1], same.factors), np.int64)
    np.add.at(table, (votes[:train], fixed[:train]), 1)
    return float((table.argmax(1)[votes[train:]] == fixed[train:]).mean())


def irs(codes: Array, factors: Array, quantile: float = 0.99) -> float:
    r"""Interventional robustness score (Suter et al. 2019), with the best factor of each code.

    $$\sum_d w_d \max_k \Big(1 - \frac{1}{M_d} \mathbb{E}_{v_k} Q\big[\lvert z_d - \mathbb{E}[z_d \mid v_k]\rvert \,\big|\, v_k\big]\Big)$$

    where $M_d = \max \lvert z_d - \mathbb{E} z_d \rvert$ and $w_d = M_d / \sum_d M_d$. Q is the maximum in the paper
    (`quantile` 1) and the 99 % quantile in Locatello et al. (2019). Each value of a factor weighs the same; data must be
    a sample of all combinations, as the paper assumes. Constant codes take no part; 0 where all are.

    Raises:
        DataError: the arrays do not fit.
    """
    codes, factors = checked(codes, factors)
    codes = codes[:, codes.var(0) > 0]
    if not codes.shape[1]:
        return 0.0
    largest = np.abs(codes - codes.mean(0)).max(0)
    deviation = np.empty((codes.shape[1], factors.shape[1]))
    for k, factor in enumerate(factors.T):
        groups = [codes[factor == value] for value in np.unique(factor)]
        deviation[:, k] = np.mean([np.quantile(np.abs(z - z.mean(0)), quantile, axis=0) for z in groups], axis=0)
    robustness = 1 - deviation / largest[:, None]
    return float(np.average(robustness.max(1), weights=largest))


def _pieces(number: int, size: int = 1000) -> list[slice]:
    return [slice(start, start + size) for start in range(0, number, size)]
