"""The importance-sampled negative log-likelihood."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import PositiveInt
from torch import Tensor

from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged
from vaelab.metrics.passes import chunks, has_density, log_weight_sums
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Split


class ImportanceNLLConfig(ComponentConfig):
    """Arguments of the importance-sampled likelihood."""

    kind: Literal["importance_nll"] = "importance_nll"

    samples: PositiveInt = 128
    """K, importance samples a datum. Published numbers mostly use 5000."""

    limit: PositiveInt | None = None
    """Use the first so many data only; null for all."""

    max_elements: PositiveInt = 2**21
    """Numbers a pass may hold in one tensor; batches and samples are cut so that memory does not grow with K. Another
    cut is another set of draws."""

    @classmethod
    def example(cls) -> ImportanceNLLConfig:
        return cls(samples=5, limit=20)


@METRICS.register(ImportanceNLLConfig)
class ImportanceNLL(Metric[ImportanceNLLConfig]):
    r"""An estimate of $-\log p(x)$ with the posterior as the proposal, in nats a datum.

    $$-\log\hat p(x) = -\log \frac1K\sum_{k=1}^K w_k, \qquad w_k = \frac{p(x, z_k)}{q(z_k \mid x)}, \quad z_k \sim q$$

    Its expectation bounds $-\log p(x)$ from above, does not grow with K, and reaches it as K goes to infinity where the
    weights are bounded (Burda et al. 2016, theorem 1). So the name states K: `nll_is128`. Beside it stands the mean
    effective sample size $(\sum w)^2 / \sum w^2$, between 1 and K, `ess_is128`; where it is near 1, the bound is loose.
    Nothing where the posterior has no density.

    *Bias*: upwards, by about $\operatorname{Var}(w)/2K\,p(x)^2$ for large K. *Cost*: one pass of the encoder
    and K of the decoder a datum.

    Use it to compare models by likelihood, with K of at least some hundreds; it overestimates the NLL, the more the
    poorer the posterior, so look at the effective sample size beside it.
    """

    by_datum = True

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        if not has_density(model, context.batches(split)):
            return {}
        samples = self.config.samples
        nll: list[Tensor] = []
        ess: list[Tensor] = []
        for whole in context.limited(self.config.limit).batches(split):
            for batch, counts in chunks(model, whole, samples, self.config.max_elements):
                first, second, _ = log_weight_sums(model, batch, counts)
                nll.append(math.log(samples) - first)
                ess.append((2 * first - second).exp())
        return {
            f"nll_is{samples}": averaged(nll, better="lower"),
            f"ess_is{samples}": averaged(ess, unit="samples", better="higher"),
        }
