"""How well a linear classifier tells the labels from the latents."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat

from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged
from vaelab.metrics.classifiers import logistic_regression
from vaelab.metrics.labelled_codes import ProbeConfig, train_and_test
from vaelab.model import VAE
from vaelab.registry import METRICS
from vaelab.types import Split


class LinearProbeConfig(ProbeConfig):
    """Arguments of the linear probe."""

    kind: Literal["linear_probe"] = "linear_probe"

    c: PositiveFloat = 1.0
    """C, the inverse of the strength of the L2 penalty; in the name, unless it is 1."""

    @classmethod
    def example(cls) -> LinearProbeConfig:
        return cls(train=30)


@METRICS.register(LinearProbeConfig)
class LinearProbe(Metric[LinearProbeConfig]):
    r"""Accuracy of a multinomial logistic regression from the posterior's centre to the label (Alain & Bengio 2017).

    $$\min_{W, b}\; C\sum_{m=1}^{M} -\log \operatorname{softmax}(W\mu(x_m) + b)_{y_m} + \tfrac12\lVert W\rVert^2$$

    over M training data, with codes standardised by their mean and standard deviation (scikit-learn). The accuracy is
    that on the evaluated split, with its standard error for a fixed classifier, as `linear_probe_accuracy_n10000` for
    $M = 10000$. On training data it counts data that the classifier has learned from. Nothing where the data have no labels.

    Raises DataError where the evaluation was given no training data.

    *Bias*: the accuracy grows with M, and the regularisation C is fixed and not searched for. *Cost*: one pass
    of the encoder over M data and the evaluated ones, and one regression.

    Use it for the standard number of representation learning; it sees what is linear in the latents, and a wide latent
    beats a narrow one for its width alone.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        found = train_and_test(self.config, model, split, context)
        if found is None:
            return {}
        train, test = found
        classifier = logistic_regression(train.codes, train.labels, self.config.c)
        right = torch.from_numpy(classifier.predict(test.codes) == test.labels)
        penalty = "" if self.config.c == 1 else f"_c{self.config.c:g}"
        return {f"linear_probe_accuracy_n{len(train)}{penalty}": averaged([right], unit="", better="higher")}
