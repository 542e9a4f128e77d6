"""The two halves of the rate: mutual information and the KL of the aggregate posterior."""

from __future__ import annotations

from typing import Literal, TypeVar

from torch import Tensor

from vaelab.divergences.aggregate import Estimator, log_aggregate
from vaelab.divergences.base import Divergence, DivergenceConfig
from vaelab.errors import BuildError
from vaelab.inference import Trace
from vaelab.model import VAE
from vaelab.registry import DIVERGENCES
from vaelab.types import StepContext


class AggregateConfig(DivergenceConfig):
    """Arguments of terms of the aggregate posterior."""

    estimator: Estimator = "stratified"
    """Of log q(z): minibatch stratified sampling, or minibatch weighted sampling."""


class MutualInformationConfig(AggregateConfig):
    """Arguments of the mutual information."""

    kind: Literal["mutual_information"] = "mutual_information"


class MarginalKLConfig(AggregateConfig):
    """Arguments of the KL of the aggregate posterior."""

    kind: Literal["marginal_kl"] = "marginal_kl"


C = TypeVar("C", bound=AggregateConfig)


class _OfAggregate(Divergence[C]):
    def check(self, model: VAE, trace: Trace) -> None:
        q = trace.groups[0].q
        if len(trace.groups) != 1 or q is None or not q.has_density or not q.has_log_prob:
            raise BuildError(
                f"divergence '{self.name}' needs one latent group whose posterior has a density, and posterior "
                f"'{model.posterior.config.kind}' with prior '{model.prior.config.kind}' has {len(trace.groups)} "
                "groups or none. Use a flat prior with the posterior 'diagonal_normal'."
            )


@DIVERGENCES.register(MutualInformationConfig)
class MutualInformation(_OfAggregate[MutualInformationConfig]):
    r"""The information that latents carry about their datum, $I(x; z) = \mathbb E[\log q(z \mid x) - \log q(z)]$.

    The first half of the rate (Hoffman & Johnson 2016),
    $\mathbb E_x \mathrm{KL}(q(z \mid x) \,\|\, p(z)) = I(x; z) + \mathrm{KL}(q(z) \,\|\, p(z))$. Beside `kl` with weight 1, the
    weight $-\alpha$ takes $\alpha$ of it back: InfoVAE's first hyperparameter (Zhao et al. 2019, equation 6). With N training
    data no estimate exceeds $\log N$ (`weighted`, which is biased: $\log BN$ with a batch of B); `stratified` is unbiased for
    $q(z)$, not for its logarithm.

    *Cost*: the log-densities of all B draws under all B posteriors, B x B x d.

    Use it with a negative weight beside `kl` against posterior collapse, or with a positive one to limit what latents
    tell of their datum; the loss is then no bound on the likelihood.
    """

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        group = trace.groups[0]
        return group.log_q[0] - log_aggregate(group, context.dataset_size, self.config.estimator)


@DIVERGENCES.register(MarginalKLConfig)
class MarginalKL(_OfAggregate[MarginalKLConfig]):
    r"""How far the aggregate posterior is from the prior, $\mathrm{KL}(q(z) \,\|\, p(z)) = \mathbb E[\log q(z) - \log p(z)]$.

    The second half of the rate (Hoffman & Johnson 2016). In place of `kl` it leaves information free and only asks that samples of
    the prior be where data are; InfoVAE with the KL as its divergence (Zhao et al. 2019). Estimated from the minibatch
    as in `mutual_information`; with `mutual_information` at the same weight it adds up to the Monte Carlo rate exactly.

    *Cost*: the log-densities of all B draws under all B posteriors, B x B x d.

    Use it when latents should keep information about their datum while prior samples stay good; it is estimated from a
    minibatch, which is biased, and it gives up the bound.
    """

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        group = trace.groups[0]
        return log_aggregate(group, context.dataset_size, self.config.estimator) - group.log_p[0]
