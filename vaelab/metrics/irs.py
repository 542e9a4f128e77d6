"""The interventional robustness score."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vaelab.metrics.base import Value
from vaelab.metrics.disentanglement import irs
from vaelab.metrics.disentanglement.arrays import Array
from vaelab.metrics.factor_codes import Codes, FactorMetric, FactorMetricConfig, higher
from vaelab.registry import METRICS


class IRSConfig(FactorMetricConfig):
    """Arguments of the interventional robustness score."""

    kind: Literal["irs"] = "irs"

    quantile: float = Field(0.99, gt=0, le=1)
    """Which of the deviations counts; 1 is the largest, as in the paper."""


@METRICS.register(IRSConfig)
class IRS(FactorMetric[IRSConfig]):
    r"""How little a code moves when its factor is held and all others change, in [0, 1] (Suter et al. 2019).

    $$\sum_d w_d \max_k \Big(1 - \frac{1}{M_d} \mathbb{E}_{v_k} Q\big[\lvert z_d - \mathbb{E}[z_d \mid v_k]\rvert \,\big|\, v_k\big]\Big)$$

    with $M_d = \max\lvert z_d - \mathbb{E} z_d\rvert$ and weights in proportion to it, as `irs_q0.99_n10000`. *Estimator*: z
    is the centre of $q(z \mid x)$; Q is the 99 % quantile as in Locatello et al. (2019), who also merge the values of a
    factor into 20 bins, which is not done here. *Bias*: too high where few data share a value, since a quantile of few
    deviations is too small. The data must hold all combinations alike; correlated factors raise it. *Cost*: one pass
    over N data.

    Use it to see whether latents stay put when other factors change; it needs many data of each value of a factor, and
    data that hold all combinations of factors.
    """

    def score(self, codes: Codes, factors: Array, names: list[str], seed: int) -> dict[str, Value]:
        return {f"irs_q{self.config.quantile:g}_n{len(codes)}": higher(irs(codes.mean, factors, self.config.quantile))}
