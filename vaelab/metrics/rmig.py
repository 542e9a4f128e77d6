"""The robust mutual information gap."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vaelab.metrics.base import Value
from vaelab.metrics.disentanglement import rmig
from vaelab.metrics.disentanglement.arrays import Array
from vaelab.metrics.factor_codes import Codes, FactorMetric, FactorMetricConfig, by_factor
from vaelab.registry import METRICS


class RMIGConfig(FactorMetricConfig):
    """Arguments of the robust mutual information gap."""

    kind: Literal["rmig"] = "rmig"

    bins: int = Field(20, ge=2)
    """Bins of equal width into which each code is cut."""


@METRICS.register(RMIGConfig)
class RMIG(FactorMetric[RMIGConfig]):
    r"""The gap of `mig` with the noise of the posterior taken into account, in [0, 1] (Do & Tran 2020).

    $$\frac1F \sum_k \frac{I(s_{(1)}; v_k) - I(s_{(2)}; v_k)}{H(v_k)}, \qquad q(s_d, v_k) = \sum_{x : v_k} \frac1N\, q(s_d \mid x)$$

    where $s_d$ is the bin of $z_d$ and $q(s_d \mid x)$ its probability under the diagonal normal $q(z \mid x)$. As
    `rmig_bins20_n10000`, with each factor's gap. *Estimator*: the bins are of equal width over the range of the
    posterior means and the outer two have no end, which the paper leaves open; normalised by the entropy of the factor.
    *Bias*: as for `mig`, smaller where the posteriors are wide. *Cost*: one pass over N data, and N times bins normal
    probabilities a code. Nothing where a posterior is no diagonal normal.

    Use it in place of `mig` where posteriors are wide, so that a noisy latent does not count as if it were exact; it is
    for diagonal normal posteriors alone, and what else is said of `mig` holds.
    """

    def score(self, codes: Codes, factors: Array, names: list[str], seed: int) -> dict[str, Value]:
        if codes.scale is None:
            return {}
        name = f"rmig_bins{self.config.bins}_n{len(codes)}"
        return by_factor(name, rmig(codes.mean, codes.scale, factors, self.config.bins), names)
