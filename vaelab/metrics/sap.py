"""Separated attribute predictability."""

from __future__ import annotations

from typing import Literal

from vaelab.metrics.base import Value
from vaelab.metrics.disentanglement import sap
from vaelab.metrics.disentanglement.arrays import Array
from vaelab.metrics.factor_codes import Codes, FactorMetric, FactorMetricConfig, by_factor
from vaelab.registry import METRICS


class SAPConfig(FactorMetricConfig):
    """Arguments of the separated attribute predictability."""

    kind: Literal["sap"] = "sap"

    measure: Literal["svm", "r2"] = "svm"
    """How well a code predicts a factor: the accuracy of a linear classifier, or the squared correlation."""


@METRICS.register(SAPConfig)
class SAP(FactorMetric[SAPConfig]):
    r"""How far the best single code is ahead of the second in predicting a factor, in [0, 1] (Kumar et al. 2018).

    $$\frac1F \sum_k \big(S_{(1)k} - S_{(2)k}\big)$$

    with $S_{dk}$ the quality of the prediction of factor k from code d, as `sap_svm_n10000`, and each factor's gap.
    *Estimator*: z is the centre of $q(z \mid x)$; `svm` is the accuracy of a linear support vector classifier (C = 0.01,
    classes balanced, as in Locatello et al. 2019), learned from two thirds of the data and scored on the rest; `r2` the
    squared correlation, the paper's choice for factors whose values have an order. *Bias*: a linear classifier of one
    code separates many values badly, so that `svm` is low even for a perfect code of a factor with many values. *Cost*:
    one pass over N data, and D F classifiers.

    Use it when reading a factor off a single latent is what counts; factors with many values score low with `svm`, for
    which `r2` is there if the values have an order.
    """

    def score(self, codes: Codes, factors: Array, names: list[str], seed: int) -> dict[str, Value]:
        name = f"sap_{self.config.measure}_n{len(codes)}"
        return by_factor(name, sap(codes.mean, factors, self.config.measure), names)
