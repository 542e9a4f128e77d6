"""Scores made of classifiers that predict factors from codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vaelab.metrics.disentanglement.arrays import Array, checked, halves, top_two_gap

Predictor = Literal["forest", "boosting"]


@dataclass(frozen=True)
class DCI:
    """What `dci` finds.

    Attributes:
        importance: `[D, F]`, of each code for the prediction of each factor; a column sums to 1, or to 0.
        informativeness: `[F]`, accuracy of the prediction on held-out data.
    """

    importance: Array
    informativeness: Array

    @property
    def disentanglement(self) -> float:
        r"""$\sum_d \rho_d \big(1 - H_F(P_{d\cdot})\big)$: how much each code is important for one factor alone.

        $P_{d\cdot}$ is a row of the importance made to sum to 1, $H_F$ the entropy to base F, $\rho_d$ the row's share.
        """
        return _concentration(self.importance)

    @property
    def completeness(self) -> float:
        """The same of the columns: how much each factor is told by one code alone."""
        return _concentration(self.importance.T)


def dci(codes: Array, factors: Array, predictor: Predictor = "forest", seed: int = 0) -> DCI:
    """Disentanglement, completeness and informativeness (Eastwood & Williams 2018, section 2).

    Args:
        codes: `[N, D]`. The first two thirds train the predictors, the rest gives the informativeness.
        factors: `[N, F]`.
        predictor: a random `forest` of 30 trees that see all codes at each split, or `boosting`, gradient-boosted trees
            of scikit-learn's defaults as in Locatello et al. (2019), which take minutes where a factor has many values.
            The importance is the decrease of impurity.
        seed: of the predictors.

    Raises:
        DataError: the arrays do not fit.
    """
    codes, factors = checked(codes, factors)
    train, test = halves(len(codes))
    importance = np.zeros((codes.shape[1], factors.shape[1]))
    accuracy = np.empty(factors.shape[1])
    for k, factor in enumerate(factors.T):
        trees = _trees(predictor, seed).fit(codes[train], factor[train])
        importance[:, k] = trees.feature_importances_
        accuracy[k] = trees.score(codes[test], factor[test])
    return DCI(importance, accuracy)


def _trees(predictor: Predictor, seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    if predictor == "boosting":
        return GradientBoostingClassifier(random_state=seed)
    # all codes at each split: among a few drawn at random there may be none that tells anything, and one of them
    # would be given importance
    return RandomForestClassifier(30, max_features=None, random_state=seed)


def _concentration(importance: Array) -> float:
    """The mean over rows of 1 minus their normalised entropy, weighted by their sums; 0 where all are 0."""
    total = importance.sum(1)
    if importance.shape[1] < 2 or not total.sum():
        return 0.0
    share = importance[total > 0] / total[total > 0, None]
    entropy = -(share * np.log(share, out=np.zeros_like(share), where=share > 0)).sum(1) / np.log(importance.shape[1])
    return float(np.average(1 - entropy, weights=total[total > 0]))


def sap(codes: Array, factors: Array, measure: Literal["svm", "r2"] = "svm") -> Array:
    r"""Separated attribute predictability of each factor, `[F]`; the score is their mean (Kumar et al. 2018, section 3).

    How far the best single code is ahead of the second in predicting the factor. `svm` measures by the accuracy of a
    linear support vector classifier on the last third of the data (C = 0.01, classes balanced, as in Locatello et al.
    2019), `r2` by the squared correlation, which suits factors whose values have an order.

    Raises:
        DataError: the arrays do not fit, or there is one code only.
    """
    codes, factors = checked(codes, factors, least_codes=2)
    if measure == "r2":
        centred, values = codes - codes.mean(0), factors - factors.mean(0)
        deviation = np.sqrt((centred**2).sum(0))
        covariance = centred.T @ values / np.sqrt((values**2).sum(0))
        correlation = np.divide(
            covariance, deviation[:, None], out=np.zeros_like(covariance), where=deviation[:, None] > 0
        )
        return top_two_gap(correlation**2)
    from sklearn.svm import LinearSVC

    train, test = halves(len(codes))
    accuracy = np.empty((codes.shape[1], factors.shape[1]))
    for d in range(codes.shape[1]):
        for k, factor in enumerate(factors.T):
            # the primal problem, whose solution is the same and needs no random order
            machine = LinearSVC(C=0.01, class_weight="balanced", dual=False).fit(codes[train, d : d + 1], factor[train])
            accuracy[d, k] = machine.score(codes[test, d : d + 1], factor[test])
    return top_two_gap(accuracy)


def explicitness(codes: Array, factors: Array) -> Array:
    """Explicitness of each factor, `[F]`; the score is their mean (Ridgeway & Mozer 2018).

    The area under the ROC curve of a logistic regression from all codes, one value of the factor against the others and
    averaged over its values, on the last third of the data; 1/2 where the codes tell nothing. Values that one of the
    two parts lacks are left out.

    Raises:
        DataError: the arrays do not fit.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    codes, factors = checked(codes, factors)
    train, test = halves(len(codes))
    result = np.empty(factors.shape[1])
    for k, factor in enumerate(factors.T):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(codes[train], factor[train])
        chance = model.predict_proba(codes[test])
        areas = [
            roc_auc_score(factor[test] == value, chance[:, i])
            for i, value in enumerate(model.classes_)
            if 0 < (factor[test] == value).sum() < len(chance)
        ]
        result[k] = np.mean(areas)
    return result
