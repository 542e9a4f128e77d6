"""How well labels are told from the latents when few are known."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from vaelab.errors import DataError
from vaelab.metrics.base import EvaluationContext, Metric, Value
from vaelab.metrics.classifiers import few_of_each, logistic_regression
from vaelab.metrics.labelled_codes import ProbeConfig, train_and_test
from vaelab.model import VAE
from vaelab.registry import METRICS
from vaelab.types import Split


class FewLabelProbeConfig(ProbeConfig):
    """Arguments of the probe with few labels."""

    kind: Literal["few_label_probe"] = "few_label_probe"

    labels: tuple[PositiveInt, ...] = Field((1, 10, 100), min_length=1)
    """n, known labels a class; a value for each."""

    draws: Annotated[int, Field(ge=2)] = 10
    """R, independent draws of the data whose labels are known."""

    @classmethod
    def example(cls) -> FewLabelProbeConfig:
        return cls(labels=(2,), draws=2)


@METRICS.register(FewLabelProbeConfig)
class FewLabelProbe(Metric[FewLabelProbeConfig]):
    r"""Accuracy of a logistic regression from the posterior's centre when n labels of each class are known.

    A value is the mean over R draws of n data a class out of M training data, as `few_label_accuracy_l10_draws10` for
    $n = R = 10$; beside it stands the standard deviation $s$ over the draws, `few_label_spread_l10_draws10`. The standard error
    of the mean is $s/\sqrt R$: it tells of the choice of the labels, not of that of the evaluated data. The draws overlap
    where n is a large part of a class, and the error is then too small. The classifier is that of `linear_probe`, with codes
    standardised by the known data alone. This is the protocol of model M1 (Kingma et al. 2014), with another classifier.
    Nothing where the data have no labels.

    Raises DataError where the evaluation was given no training data, or fewer than n of a class.

    *Bias*: a probe of the best regularisation might do better, as none is searched for. *Cost*: one pass of the
    encoder over M data and the evaluated ones, and R small regressions.

    Use it for what a representation is worth where labels are rare; from one draw alone nothing can be concluded, so look
    at the spread.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        found = train_and_test(self.config, model, split, context)
        if found is None:
            return {}
        train, test = found
        classes, counts = np.unique(train.labels, return_counts=True)
        if counts.min() < max(self.config.labels):
            raise DataError(
                f"metric 'few_label_probe' draws {max(self.config.labels)} training data of each class, and class "
                f"{classes[counts.argmin()]} has {counts.min()} among the {len(train)} used. Lower 'labels', or raise 'train'."
            )
        values: dict[str, Value] = {}
        draws = self.config.draws
        for number in self.config.labels:
            rng = np.random.default_rng((context.seed, number))
            accuracy = np.empty(draws)
            for draw in range(draws):
                rows = few_of_each(train.labels, number, rng)
                classifier = logistic_regression(train.codes[rows], train.labels[rows])
                accuracy[draw] = (classifier.predict(test.codes) == test.labels).mean()
            spread, end = float(accuracy.std(ddof=1)), f"l{number}_draws{draws}"
            stderr = spread / math.sqrt(draws)
            values[f"few_label_accuracy_{end}"] = Value(float(accuracy.mean()), stderr, unit="", better="higher")
            values[f"few_label_spread_{end}"] = Value(spread, unit="", better="lower")
        return values
