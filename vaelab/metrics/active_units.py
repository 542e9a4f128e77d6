"""Active latent units."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from vaelab.metrics.base import EvaluationContext, Metric, Value
from vaelab.metrics.passes import latent_moments
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Split


class ActiveUnitsConfig(ComponentConfig):
    """Arguments of the active units."""

    kind: Literal["active_units"] = "active_units"

    threshold: PositiveFloat = 0.01
    """Variance above which a unit is active."""

    limit: PositiveInt | None = None
    """Use the first so many data; all where null."""

    samples: PositiveInt = 8
    """Draws of the groups above in each of two averages; without effect where there is one group with a known mean."""

    @classmethod
    def example(cls) -> ActiveUnitsConfig:
        return cls(samples=2)


@METRICS.register(ActiveUnitsConfig)
class ActiveUnits(Metric[ActiveUnitsConfig]):
    r"""How many latent units vary with the data (Burda et al. 2016, section 5.1).

    $$\textstyle\sum_u \big[\operatorname{Var}_x\, \mathbb{E}[z_u \mid x] > 0.01\big]$$

    As a number and as a fraction, with the threshold in the name, and by group where there are several. A unit is one
    number of a group; in a map each position counts. In a hierarchy $\mathbb{E}[z_i \mid x]$ averages over draws of
    the groups above, as the definition says, and not over their means; see `latent_moments`. Groups of codes have no
    such variance and are left out; `latent_usage` counts their codes.

    *Bias*: the variance is a covariance of two independent averages, so the noise of draws does not raise it; a
    unit close to the threshold may fall on either side. *Cost*: one pass over the data with 2 `samples` draws
    of the posterior in a hierarchy; no decoder.

    Use it to see collapse unit by unit; the threshold is a convention, and units of codes and maps are better told by
    `latent_usage`.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        moments = latent_moments(model, context.limited(self.config.limit).batches(split), self.config.samples)
        threshold = self.config.threshold
        active = {i: int((group.signal > threshold).sum()) for i, group in moments.items()}
        units = {i: group.signal.numel() for i, group in moments.items()}
        if not active:
            return {}
        values = {
            f"active_units_{threshold:g}": Value(float(sum(active.values())), unit="units", better="higher"),
            f"active_fraction_{threshold:g}": Value(
                sum(active.values()) / sum(units.values()), unit="", better="higher"
            ),
        }
        if model.depth > 1:
            for i, number in active.items():
                values[f"active_units_{threshold:g}/group_{i}"] = Value(float(number), unit="units", better="higher")
        return values
