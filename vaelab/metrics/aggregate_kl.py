"""How far the aggregate posterior is from the prior, in parts."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from vaelab.distributions import Distribution
from vaelab.errors import DataError
from vaelab.inference import infer_latents
from vaelab.metrics.aggregate import LogDensities, constant_component, is_product, joined, log_kernel, log_mixture
from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Split


class AggregateKLConfig(ComponentConfig):
    """Arguments of the parts of the aggregate KL."""

    kind: Literal["aggregate_kl"] = "aggregate_kl"

    estimator: Literal["stratified", "leave_one_out", "kernel"] = "stratified"
    """Of log q(z): the mixture of posteriors with the datum's own at 1/N, without its own, or kernels around draws."""

    limit: PositiveInt = Field(2000, ge=2)
    """M, data of the split that are used, chosen at random; the cost grows with its square."""

    units: bool = False
    """Whether each component's KL is given too."""

    max_elements: PositiveInt = 2**22
    """Numbers a pass may hold in one tensor."""

    @classmethod
    def example(cls) -> AggregateKLConfig:
        return cls(limit=20)


@METRICS.register(AggregateKLConfig)
class AggregateKL(Metric[AggregateKLConfig]):
    r"""The rate of the first latent group in parts, in nats, from M of the N data of the split (Chen et al. 2018, equation 2).

    $$\mathbb{E}_x \mathrm{KL}(q(z \mid x) \,\|\, p(z)) = I(x; z) + \mathrm{KL}(q(z) \,\|\, p(z)), \quad
      \mathrm{KL}(q(z) \,\|\, p(z)) = \mathrm{KL}\big(q(z) \,\|\, \textstyle\prod_d q(z_d)\big) + \sum_d \mathrm{KL}(q(z_d) \,\|\, p(z_d))$$

    with the aggregate posterior $q(z) = \mathbb{E}_x q(z \mid x)$: `mutual_information_stratified_m2000`, `aggregate_kl_...`,
    `total_correlation_...` and `dimension_kl_...`, the sum over components. Expectations are means over one draw of each datum's
    posterior. The estimator of $\log q(z_i)$ is in the names:

    - `stratified`: $\log[\frac1N q(z_i \mid x_i) + \frac{N-1}{N(M-1)} \sum_{j \ne i} q(z_i \mid x_j)]$, for $q(z)$ of the N data of the
      split. Exact at $M = N$, where $I \le \log N$; else low by Jensen's inequality, and $I$ is high.
    - `leave_one_out`: the same with $N = \infty$, for the distribution of which the N data are a sample. There $I$ is an upper
      bound in expectation, as `stratified` at $M = N$ is a lower one (Poole et al. 2019); the aggregate KL is the other way
      round, and may fall below 0. Where the rate is far above $\log M$ the two are far apart and the joint values tell little.
    - `kernel`: normal kernels around the draws of the other data, with Scott's bandwidths. It needs no density of the posterior.
      It smooths: sharp densities look broader, and in more than a few dimensions the joint density is poor and the total
      correlation low; the marginals are estimated in one dimension each.

    *Bias*: as said there, and common to the joint values where the rate is near $\log M$. Standard errors are those of
    the means over draws and ignore that all terms share the M data. Total correlation and
    marginals need a posterior that is a product over its components (or kernels), the marginals' KL a prior that is one. Nothing
    for groups of codes and the like, for conditional models, whose prior differs between data, and for posteriors that
    cannot score every point (but by kernels).

    *Cost*: $M^2$ densities of a latent and one pass of the encoder over M data.

    Use it to see whether samples of the prior can be good, and whether latents are independent; where the rate is above the
    logarithm of M only the marginals can be trusted, and models compare at the same M and estimator only.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        kernel = self.config.estimator == "kernel"
        spec = model.prior.latent.groups[0]
        if spec.support != "real" or model.data.condition_shape is not None:
            return {}
        number = len(split) if context.limit is None else min(len(split), context.limit)
        if number < 2:
            raise DataError("metric 'aggregate_kl' needs 2 data, and there is 1. Take a larger split.")
        rows = torch.randperm(number, generator=torch.Generator().manual_seed(context.seed))[: self.config.limit]
        drawn: list[Tensor] = []
        posteriors: list[Distribution] = []
        log_q: list[Tensor] = []
        log_p: list[Tensor] = []
        terms: list[Tensor] = []
        for batch in split.batches(rows, context.batch_size):
            group = infer_latents(model, batch)[0][0]
            assert group.q is not None
            scores = group.has_density and group.q.has_log_prob
            if not (group.p.has_density and (scores or kernel)):
                return {}
            drawn.append(group.z[0])
            log_p.append(group.log_p[0].cpu().double())
            if is_product(group.p, group.z):
                terms.append(group.p.log_prob_terms(group.z)[0].flatten(1).cpu().double())
            if group.has_density:
                log_q.append(group.log_q[0].cpu().double())
            if not kernel:
                posteriors.append(group.q)
        z = torch.cat(drawn)
        if kernel:
            if (constant := constant_component(z)) is not None:
                raise DataError(
                    f"metric 'aggregate_kl': component {constant} of the latents is constant, so kernels have no width. Use "
                    'the estimator "stratified", or a model whose latents vary.'
                )
            found = log_kernel(z, self.config.max_elements)
        else:
            own = 1 / number if self.config.estimator == "stratified" else 0.0
            found = log_mixture(z, joined(posteriors), own, self.config.max_elements)
        return self._values(found, _cat(log_q), torch.cat(log_p), _cat(terms), len(z))

    def _values(
        self, found: LogDensities, log_q: Tensor | None, log_p: Tensor, terms: Tensor | None, number: int
    ) -> dict[str, Value]:
        end = f"{self.config.estimator}_m{number}"
        values: dict[str, Value] = {}
        if log_q is not None:
            values[f"mutual_information_{end}"] = averaged([log_q - found.joint], better="higher")
        values[f"aggregate_kl_{end}"] = averaged([found.joint - log_p], better="lower")
        if found.marginals is not None:
            correlation = found.joint - found.marginals.sum(1)
            values[f"total_correlation_{end}"] = averaged([correlation], better="lower")
            if terms is not None:
                each = found.marginals - terms
                values[f"dimension_kl_{end}"] = averaged([each.sum(1)], better="lower")
                if self.config.units:
                    for d, one in enumerate(each.unbind(1)):
                        values[f"dimension_kl_{end}/unit_{d}"] = averaged([one], better="lower")
        return values


def _cat(parts: list[Tensor]) -> Tensor | None:
    return torch.cat(parts) if parts else None
