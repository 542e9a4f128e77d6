"""The FactorVAE score."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveInt

from vaelab.metrics.base import Value
from vaelab.metrics.disentanglement import factor_vae_score
from vaelab.metrics.disentanglement.arrays import Array
from vaelab.metrics.factor_codes import Codes, FactorMetric, FactorMetricConfig, higher
from vaelab.registry import METRICS


class FactorVAEScoreConfig(FactorMetricConfig):
    """Arguments of the FactorVAE score."""

    kind: Literal["factor_vae_score"] = "factor_vae_score"

    group: int = Field(64, ge=2)
    """L, data with one factor fixed from which one vote is made."""

    train: PositiveInt = 10_000
    """Votes from which the classifier learns."""

    test: PositiveInt = 5_000
    """Votes on which it is scored."""

    threshold: NonNegativeFloat = 0.05
    """Variance above which a code takes part."""

    @classmethod
    def example(cls) -> Self:
        return cls(limit=100, group=8, train=100, test=50)


@METRICS.register(FactorVAEScoreConfig)
class FactorVAEScore(FactorMetric[FactorVAEScoreConfig]):
    r"""Accuracy of a majority vote on which factor is fixed, by the code that varies least (Kim & Mnih 2018, section 4).

    $$\arg\min_d \frac{\widehat{\operatorname{Var}}_{l}[z_d(x_l)]}{\widehat{\operatorname{Var}}[z_d]} \;\mapsto\; k$$

    for L data $x_l$ with one value of $v_k$. As `factor_vae_score_l64_n10000`; chance is 1/F. *Estimator*: z is the centre
    of $q(z \mid x)$; 10,000 votes to learn from and 5,000 to test on, as in Locatello et al. (2019), where the paper has
    800 and tests on the same. Groups are drawn from the N encoded data, and not from the whole grid. Codes with a variance
    up to `threshold` take no part, where the paper leaves out those with a rate near 0; a threshold other than 0.05 is in
    the name. *Bias*: codes that no factor owns cost nothing; with few data of a value the same datum comes more than once
    in a group, which lowers all variances alike. *Cost*: one pass over N data, where the literature encodes
    L (10,000 + 5,000).

    Use it in place of `beta_vae_score`, as its majority vote has no classifier to tune; it does not punish a factor
    that is spread over several latents.
    """

    def score(self, codes: Codes, factors: Array, names: list[str], seed: int) -> dict[str, Value]:
        config = self.config
        accuracy = factor_vae_score(
            codes.mean, factors, config.group, config.train, config.test, config.threshold, seed
        )
        above = "" if config.threshold == 0.05 else f"_var{config.threshold:g}"
        return {f"factor_vae_score_l{config.group}{above}_n{len(codes)}": higher(accuracy)}
