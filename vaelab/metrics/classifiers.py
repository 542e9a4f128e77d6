"""Arithmetic of the metrics of representation, on plain arrays: codes `[N, D]` and labels `[N]`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from vaelab.metrics.disentanglement.arrays import Array


def logistic_regression(codes: Array, labels: Array, c: float = 1.0) -> Any:
    """A fitted multinomial logistic regression of scikit-learn on standardised codes; it has `predict`.

    Args:
        codes: `[N, D]`.
        labels: `[N]`, two different ones or more.
        c: inverse of the strength of the L2 penalty.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
    with warnings.catch_warnings():
        # of a classifier that is not quite the best, the accuracy is still the accuracy
        warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(codes, labels)


def few_of_each(labels: Array, number: int, rng: np.random.Generator) -> Array:
    """Positions of `number` data of each label, drawn without replacement, `[C * number]`.

    Args:
        labels: `[N]`, each label at least `number` times.
        number: data a label.
        rng: of the draw.
    """
    chosen: Array = np.concatenate(
        [rng.choice(np.flatnonzero(labels == label), number, replace=False) for label in np.unique(labels)]
    )
    return chosen


def matched_accuracy(labels: Array, clusters: Array) -> float:
    r"""$\max_\pi \frac1N \sum_n [y_n = \pi(c_n)]$ over one-to-one maps of clusters to labels, by the Hungarian method.

    Data of clusters that are left without a label count as wrong (Xie et al. 2016, equation 10).

    Args:
        labels: `[N]`.
        clusters: `[N]`.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(labels, clusters)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / table.sum())
