"""A score that needs no factors: how far models of different seeds agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from vaelab.errors import DataError
from vaelab.metrics.disentanglement.arrays import Array


def udr(
    codes: Sequence[Array],
    rates: Sequence[Array],
    similarity: Literal["lasso", "spearman"] = "lasso",
    threshold: float = 0.01,
) -> Array:
    r"""Unsupervised disentanglement ranking of each model, `[M]` (Duan et al. 2020).

    For two models with $d_a$ and $d_b$ informative codes and similarities R between these

    $$\frac{1}{d_a + d_b}\Big(\sum_b \frac{\max_a R_{ab}^2}{\sum_a R_{ab}} + \sum_a \frac{\max_b R_{ab}^2}{\sum_b R_{ab}}\Big)$$

    A model's score is the median over the other models. disentanglement_lib takes the mean of the two means in its
    place, which is the same where $d_a = d_b$.

    Args:
        codes: of each model on the same data, `[N, D]`; the models differ in nothing but their seed.
        rates: of each model, the mean KL of each code, `[D]`, in nats.
        similarity: absolute weights of a `lasso` regression (alpha 0.1, codes standardised) of one model's codes on the
            other's, or absolute rank correlations (`spearman`).
        threshold: a code is informative if its rate is larger.

    Raises:
        DataError: there are fewer than two models, or the arrays do not fit.
    """
    if len(codes) < 2 or len(codes) != len(rates):
        raise DataError(
            f"UDR compares two models or more, each with its rates; there are {len(codes)} and {len(rates)} of them"
        )
    if any(z.ndim != 2 or z.shape != (len(codes[0]), len(rate)) for z, rate in zip(codes, rates, strict=True)):
        raise DataError("UDR takes codes [N, D] of the same N data and one rate for each code")
    kept = [np.asarray(z, np.float64)[:, np.asarray(rate) > threshold] for z, rate in zip(codes, rates, strict=True)]
    compare = _lasso if similarity == "lasso" else _spearman
    scores = np.zeros((len(codes), len(codes)))
    for i, a in enumerate(kept):
        for j, b in enumerate(kept):
            if i != j and a.shape[1] and b.shape[1]:
                scores[i, j] = _relative_strength(compare(a, b))
    return np.array([np.median(np.delete(scores[:, m], m)) for m in range(len(codes))])


def _relative_strength(similarity: Array) -> float:
    total = 0.0
    for table in (similarity, similarity.T):
        sums = table.sum(0)
        total += float((table.max(0)[sums > 0] ** 2 / sums[sums > 0]).sum())
    return total / sum(similarity.shape)


def _lasso(a: Array, b: Array) -> Array:
    from sklearn.linear_model import Lasso
    from sklearn.preprocessing import StandardScaler

    model = Lasso(alpha=0.1).fit(StandardScaler().fit_transform(a), StandardScaler().fit_transform(b))
    weights: Array = np.abs(model.coef_).reshape(b.shape[1], a.shape[1]).T
    return weights


def _spearman(a: Array, b: Array) -> Array:
    ranks = [np.apply_along_axis(_mid_ranks, 0, z) for z in (a, b)]
    centred = [rank - rank.mean(0) for rank in ranks]
    lengths = [np.sqrt((rank**2).sum(0)) for rank in centred]
    scale = np.outer(*lengths)
    return np.abs(np.divide(centred[0].T @ centred[1], scale, out=np.zeros_like(scale), where=scale > 0))


def _mid_ranks(code: Array) -> Array:
    """Ranks, of which equal values share the mean."""
    _, which, count = np.unique(code, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(count) - (count - 1) / 2)[which]
    return ranks
