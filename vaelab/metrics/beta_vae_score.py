"""The BetaVAE score."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import PositiveInt

from vaelab.metrics.base import Value
from vaelab.metrics.disentanglement import beta_vae_score
from vaelab.metrics.disentanglement.arrays import Array
from vaelab.metrics.factor_codes import Codes, FactorMetric, FactorMetricConfig, higher
from vaelab.registry import METRICS


class BetaVAEScoreConfig(FactorMetricConfig):
    """Arguments of the BetaVAE score."""

    kind: Literal["beta_vae_score"] = "beta_vae_score"

    pairs: PositiveInt = 64
    """L, pairs that are averaged for one point."""

    train: PositiveInt = 10_000
    """Points from which the classifier learns."""

    test: PositiveInt = 5_000
    """Points on which it is scored."""

    @classmethod
    def example(cls) -> Self:
        return cls(limit=100, pairs=8, train=100, test=50)


@METRICS.register(BetaVAEScoreConfig)
class BetaVAEScore(FactorMetric[BetaVAEScoreConfig]):
    r"""Accuracy of a linear classifier that tells which factor pairs of data share (Higgins et al. 2017, section 3).

    $$\frac1L \sum_{l=1}^L \lvert z(x_l) - z(x_l') \rvert \;\mapsto\; k, \qquad v_k(x_l) = v_k(x_l')$$

    As `beta_vae_score_l64_n10000`; chance is 1/F. *Estimator*: z is the centre of $q(z \mid x)$; the classifier is a
    logistic regression, 10,000 points to learn from and 5,000 to test on, as in Locatello et al. (2019). Pairs are drawn
    from the N encoded data, with the shared value as it comes there, and not from the whole grid. *Bias*: lenient; it
    can be 1 for codes that are rotations of the factors. *Cost*: one pass over N data, where the literature encodes
    2 L (10,000 + 5,000).

    Use it to compare with older work on data with known factors; it saturates near 1 and can be high although factors
    share latents, so read `mig` or `dci` beside it.
    """

    def score(self, codes: Codes, factors: Array, names: list[str], seed: int) -> dict[str, Value]:
        config = self.config
        accuracy = beta_vae_score(codes.mean, factors, config.pairs, config.train, config.test, seed)
        return {f"beta_vae_score_l{config.pairs}_n{len(codes)}": higher(accuracy)}
