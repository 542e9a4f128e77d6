"""Disentanglement, completeness and informativeness."""

from __future__ import annotations

from typing import Literal

from vaelab.metrics.base import Value
from vaelab.metrics.disentanglement import dci
from vaelab.metrics.disentanglement.arrays import Array
from vaelab.metrics.factor_codes import Codes, FactorMetric, FactorMetricConfig, by_factor, higher
from vaelab.registry import METRICS


class DCIConfig(FactorMetricConfig):
    """Arguments of disentanglement, completeness and informativeness."""

    kind: Literal["dci"] = "dci"

    predictor: Literal["forest", "boosting"] = "forest"
    """What predicts a factor from the codes: a random forest, or gradient-boosted trees, which are slow."""


@METRICS.register(DCIConfig)
class DCIMetric(FactorMetric[DCIConfig]):
    r"""Whether a code tells of one factor, a factor sits in one code, and all can be told (Eastwood & Williams 2018).

    With the importance $R_{dk}$ of code d for the prediction of factor k, $P_{d\cdot}$ its rows made to sum to 1, and
    $\rho_d$ the share of row d in the sum of all,

    $$\text{disentanglement} = \sum_d \rho_d \big(1 - H_F(P_{d\cdot})\big)$$

    with the entropy to base F; completeness is the same of the columns, informativeness the accuracy of the prediction.
    All in [0, 1], as `dci_disentanglement_forest_n10000` and so on; informativeness by factor too. *Estimator*: z is the
    centre of $q(z \mid x)$; R is the decrease of impurity in classification trees, learned from two thirds of the data.
    The paper uses regression by lasso or forests and its error; Locatello et al. (2019) gradient boosting (`boosting`).
    *Bias*: deep trees give codes of noise some importance where a factor is hard to tell, which lowers both scores.
    *Cost*: one pass over N data, and a forest of 30 trees a factor (3 s on one core, with ten codes); boosting fits
    100 trees for each value of a factor.

    Use it to see separately whether each latent holds one factor and each factor is in one latent; it depends on the
    regressor that gives the importances, and on how well that is fitted.
    """

    def score(self, codes: Codes, factors: Array, names: list[str], seed: int) -> dict[str, Value]:
        found = dci(codes.mean, factors, self.config.predictor, seed)
        choices = f"{self.config.predictor}_n{len(codes)}"
        return {
            f"dci_disentanglement_{choices}": higher(found.disentanglement),
            f"dci_completeness_{choices}": higher(found.completeness),
            **by_factor(f"dci_informativeness_{choices}", found.informativeness, names),
        }
