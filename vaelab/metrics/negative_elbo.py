"""The negative ELBO and its parts."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor

from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged
from vaelab.metrics.passes import chunks, has_density
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Split


class NegativeElboConfig(ComponentConfig):
    """Arguments of the negative ELBO."""

    kind: Literal["negative_elbo"] = "negative_elbo"

    samples: PositiveInt = 1
    """Draws of z a datum."""

    max_elements: PositiveInt = 2**24
    """Numbers a pass may hold in one tensor; what does not fit is done in parts."""


@METRICS.register(NegativeElboConfig)
class NegativeElbo(Metric[NegativeElboConfig]):
    r"""Distortion plus rate, the bound that a VAE is trained on.

    $$-\log p(x) \le -\mathbb{E}_q \log p(x \mid z) + \sum_i \mathrm{KL}(q(z_i \mid z_{<i}, x) \,\|\, p(z_i \mid z_{<i}))$$

    Kingma & Welling (2014, equation 3). In nats a datum, whatever weights the training gave the two; the rate also by
    group where there are several. The distortion alone where the posterior has no density.

    *Bias*: none as an estimate of the bound, by one draw a datum, with the KL in closed form where there is
    one; as an estimate of the NLL it is high by $\mathrm{KL}(q(z \mid x) \,\|\, p(z \mid x))$. *Cost*: one pass
    of the model.

    Use it for what training minimises, split into distortion and rate; to rank models of different posteriors take
    `importance_nll`.
    """

    by_datum = True

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        names = ["negative_elbo", "distortion", "rate"]
        scored = has_density(model, context.batches(split))
        if not scored:
            names = ["distortion"]
        elif model.depth > 1:
            names += [f"rate/group_{i}" for i in range(model.depth)]
        terms: dict[str, list[Tensor]] = {name: [] for name in names}
        samples = self.config.samples
        for whole in context.batches(split):
            for batch, counts in chunks(model, whole, samples, self.config.max_elements):
                totals: dict[str, Tensor] = {}
                for count in counts:
                    trace = model.infer(batch, count)
                    parts = [distortion := -trace.log_px]
                    if scored:
                        rate = trace.total_rate()
                        parts = [distortion + rate, distortion, rate]
                        if model.depth > 1:
                            parts += [trace.rate(i) for i in range(model.depth)]
                    for name, part in zip(names, parts, strict=True):
                        total = part.cpu().double().expand(count, -1).sum(0)
                        totals[name] = totals[name] + total if name in totals else total
                for name, total in totals.items():
                    terms[name].append(total / samples)
        # a rate and a distortion are coordinates: neither is better for being small
        return {name: averaged(terms[name], better="lower" if name == "negative_elbo" else None) for name in names}
