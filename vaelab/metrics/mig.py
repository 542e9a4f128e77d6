"""The mutual information gap."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vaelab.metrics.base import Value
from vaelab.metrics.disentanglement import mig
from vaelab.metrics.disentanglement.arrays import Array
from vaelab.metrics.factor_codes import Codes, FactorMetric, FactorMetricConfig, by_factor
from vaelab.registry import METRICS


class MIGConfig(FactorMetricConfig):
    """Arguments of the mutual information gap."""

    kind: Literal["mig"] = "mig"

    bins: int = Field(20, ge=2)
    """Bins of equal width into which each code is cut."""


@METRICS.register(MIGConfig)
class MIG(FactorMetric[MIGConfig]):
    r"""How far the code that tells most of a factor is ahead of the second, in [0, 1] (Chen et al. 2018, section 4).

    $$\frac1F \sum_k \frac{I(z_{(1)}; v_k) - I(z_{(2)}; v_k)}{H(v_k)}$$

    `mig_bins20_n10000` is the mean and `mig_bins20_n10000/FACTOR` each factor's gap. *Estimator*: z is the centre of
    $q(z \mid x)$, cut into 20 bins of equal width, and mutual information is plugged in from counts, as in Locatello et
    al. (2019); Chen et al. integrate over $q(z \mid x)$. *Bias*: plug-in mutual information is too high by about
    $(B-1)(V-1)/2N$ nats, with B bins and V values, which mostly cancels in the gap; bins too coarse for a factor lower
    it. A factor spread over two codes scores 0, even where nothing else is in them. *Cost*: one pass over N data.

    Use it as a first score of disentanglement on data with known factors; it asks for one latent a factor, so that a
    factor in two good latents, such as an angle on a circle, counts as none.
    """

    def score(self, codes: Codes, factors: Array, names: list[str], seed: int) -> dict[str, Value]:
        name = f"mig_bins{self.config.bins}_n{len(codes)}"
        return by_factor(name, mig(codes.mean, factors, self.config.bins), names)
