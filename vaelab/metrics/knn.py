"""How often the neighbours of a datum in latent space have its label."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt

from vaelab.errors import DataError
from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged
from vaelab.metrics.labelled_codes import ProbeConfig, train_and_test
from vaelab.model import VAE
from vaelab.registry import METRICS
from vaelab.types import Split


class KnnConfig(ProbeConfig):
    """Arguments of the nearest-neighbour classifier."""

    kind: Literal["knn"] = "knn"

    neighbours: PositiveInt = 5
    """k, training data that vote."""

    distance: Literal["euclidean", "cosine"] = "euclidean"
    """Between codes; in the name, unless it is Euclidean."""

    @classmethod
    def example(cls) -> KnnConfig:
        return cls(train=30, neighbours=3)


@METRICS.register(KnnConfig)
class Knn(Metric[KnnConfig]):
    r"""Accuracy of a vote of the k nearest training data in latent space.

    $$\hat y(x) = \arg\max_y \sum_{m \in N_k(x)} [y_m = y]$$

    where $N_k(x)$ are the k of M training data whose posterior centres are nearest to that of x; of labels with the same
    number of votes the smallest wins (scikit-learn). Codes are as they are, not standardised: collapsed units have a centre
    that does not vary and count for nothing. As `knn_accuracy_k5_n10000`, with the standard error for a fixed training
    set. On training data a datum is its own nearest neighbour. Nothing where the data have no labels.

    Raises DataError where the evaluation was given no training data, or fewer than k.

    *Bias*: the accuracy grows with M. *Cost*: one pass of the encoder over M data and the evaluated ones, and
    the distances between them. The rule is Cover & Hart's (1967); Wu et al. (2018) use it for representations.

    Use it beside `linear_probe` to see whether classes are clusters of any form; in many dimensions distances tell
    little, and units of large variance decide.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        from sklearn.neighbors import KNeighborsClassifier

        found = train_and_test(self.config, model, split, context)
        if found is None:
            return {}
        train, test = found
        k, distance = self.config.neighbours, self.config.distance
        if k > len(train):
            raise DataError(
                f"metric 'knn' needs {k} training data that vote, and there are {len(train)}. Lower 'neighbours', or raise "
                "'train'."
            )
        classifier = KNeighborsClassifier(k, metric=distance).fit(train.codes, train.labels)
        right = torch.from_numpy(classifier.predict(test.codes) == test.labels)
        end = "" if distance == "euclidean" else f"_{distance}"
        return {f"knn_accuracy_k{k}_n{len(train)}{end}": averaged([right], unit="", better="higher")}
