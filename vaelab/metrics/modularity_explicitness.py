"""Modularity and explicitness."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vaelab.metrics.base import Value
from vaelab.metrics.disentanglement import explicitness, modularity
from vaelab.metrics.disentanglement.arrays import Array
from vaelab.metrics.factor_codes import Codes, FactorMetric, FactorMetricConfig, by_factor, higher
from vaelab.registry import METRICS


class ModularityExplicitnessConfig(FactorMetricConfig):
    """Arguments of modularity and explicitness."""

    kind: Literal["modularity_explicitness"] = "modularity_explicitness"

    bins: int = Field(20, ge=2)
    """Bins of equal width into which each code is cut for the modularity."""


@METRICS.register(ModularityExplicitnessConfig)
class ModularityExplicitness(FactorMetric[ModularityExplicitnessConfig]):
    r"""Whether each code tells of one factor, and whether each factor can be read off linearly (Ridgeway & Mozer 2018).

    $$\text{modularity} = \frac1D \sum_d \Big(1 - \frac{\sum_{k \neq k^*} I(z_d; v_k)^2}{(F-1)\, I(z_d; v_{k^*})^2}\Big)$$

    with the factor $k^*$ of which $z_d$ tells most, as `modularity_bins20_n10000`; in [0, 1]. `explicitness_auc_n10000` is
    the area under the ROC curve of logistic regressions from all codes, the mean over the values of a factor and over
    the factors, in [1/2, 1], with each factor's. *Estimator*: z is the centre of $q(z \mid x)$; mutual information as
    for `mig`; the regression learns from two thirds of the data and is scored on the rest, where Locatello et al. (2019)
    draw two sets. *Bias*: a code without information has a modularity near that of its counting noise and not near 0,
    so that dead codes count as if they told something; 0 only where it is constant. *Cost*: one pass over N data, and a
    regression a factor.

    Use it to see whether each latent depends on one factor at most; high modularity does not mean that factors are in
    few latents, for which there is `mig`.
    """

    def score(self, codes: Codes, factors: Array, names: list[str], seed: int) -> dict[str, Value]:
        modular = modularity(codes.mean, factors, self.config.bins).mean()
        return {
            f"modularity_bins{self.config.bins}_n{len(codes)}": higher(modular),
            **by_factor(f"explicitness_auc_n{len(codes)}", explicitness(codes.mean, factors), names),
        }
