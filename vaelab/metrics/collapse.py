"""Units whose posterior is the prior for all data."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from vaelab.metrics.base import EvaluationContext, Metric, Value
from vaelab.metrics.collapse_report import unit_name
from vaelab.metrics.passes import latent_moments, unit_rates
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Split


class CollapseConfig(ComponentConfig):
    """Arguments of the posterior collapse."""

    kind: Literal["collapse"] = "collapse"

    epsilon: PositiveFloat = 0.01
    """KL of a unit and datum in nats, below which the posterior counts as the prior; in the names."""

    delta: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Share of the data that may have more; in the names."""

    limit: PositiveInt | None = None
    """Use the first so many data; all where null."""

    samples: PositiveInt = 8
    """Draws in each of two averages that estimate a posterior's mean; see `active_units`."""

    units: bool = False
    """Whether each unit's rate and explained variance are given too, as `collapse_report` needs them."""

    @classmethod
    def example(cls) -> CollapseConfig:
        return cls(samples=2)


@METRICS.register(CollapseConfig)
class Collapse(Metric[CollapseConfig]):
    r"""How many units have collapsed, by the definition of Lucas et al. (2019), and how many carry a rate for nothing.

    Unit u is collapsed if $P_x[\mathrm{KL}(q(z_u \mid x) \,\|\, p(z_u)) < \epsilon] \ge 1 - \delta$: `collapsed_units_e0.01_d0.01` and
    `collapsed_fraction_...`, by group where there are several. `mismatched_units_...` are not collapsed and yet say nothing: x
    determines less than 1 % of their variance, so that the rate is spent on a posterior that is no prior and the same for all
    data. In a hierarchy the KL is that given a draw of the groups above. A unit is one number of a group. KLs are in closed form,
    for groups whose posterior and prior are diagonal normals; others are left out, and nothing is left where there are no such groups.

    With `units`, `unit_rate/group_0/unit_3` (nats, a mean over data) and `unit_explained/group_0/unit_3` as well. Among the
    metrics of `training.validation` they tell `collapse_report` which unit was lost, when, and why.

    *Bias*: none in the KLs, which are closed; the share of data below epsilon is a plain mean, so that a unit
    close to delta may fall on either side. *Cost*: one pass of encoder and latents; no decoder.

    Use it beside `active_units` where the question is what the KL says, not how far the mean moves; a collapsed unit is no defect if
    the data need no more units.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        config = self.config
        context = context.limited(config.limit)
        rates = unit_rates(model, context.batches(split))
        if not rates:
            return {}
        moments = latent_moments(model, context.batches(split), config.samples)
        collapsed = {i: (rate < config.epsilon).double().mean(0) >= 1 - config.delta for i, rate in rates.items()}
        explained = {i: moments[i].explained.flatten() for i in rates}
        mismatched = {i: ~collapsed[i] & (explained[i] < 0.01) for i in rates}
        end = f"e{config.epsilon:g}_d{config.delta:g}"
        everything = torch.cat(list(collapsed.values()))
        values = {
            f"collapsed_units_{end}": _units(everything),
            f"collapsed_fraction_{end}": Value(float(everything.double().mean()), unit="", better="lower"),
            f"mismatched_units_{end}": _units(torch.cat(list(mismatched.values()))),
        }
        for i in rates if model.depth > 1 else ():
            values[f"collapsed_units_{end}/group_{i}"] = _units(collapsed[i])
            values[f"mismatched_units_{end}/group_{i}"] = _units(mismatched[i])
        for i, rate in rates.items() if config.units else ():
            for u in range(rate.shape[1]):
                values[unit_name("rate", i, u)] = Value(float(rate[:, u].mean()))
                values[unit_name("explained", i, u)] = Value(float(explained[i][u]), unit="", better="higher")
        return values


def _units(which: Tensor) -> Value:
    return Value(float(which.sum()), unit="units", better="lower")
