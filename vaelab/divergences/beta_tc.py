"""The decomposed KL of beta-TC-VAE."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vaelab.divergences.aggregate import Estimator, all_posteriors, log_sum_exp, log_weights
from vaelab.divergences.base import Divergence, DivergenceConfig
from vaelab.errors import BuildError
from vaelab.inference import Trace
from vaelab.model import VAE
from vaelab.registry import DIVERGENCES, default
from vaelab.schedules import Scalar, schedule
from vaelab.types import BuildContext, StepContext


class BetaTCConfig(DivergenceConfig):
    """Arguments of the decomposed KL."""

    kind: Literal["beta_tc"] = "beta_tc"

    alpha: Scalar = default(1.0)
    """Weight of the mutual information of x and z."""

    beta: Scalar = default(6.0)
    """Weight of the total correlation."""

    gamma: Scalar = default(1.0)
    """Weight of the KL of each component's marginal."""

    estimator: Estimator = "stratified"
    """Of log q(z): minibatch stratified sampling, or minibatch weighted sampling."""


@DIVERGENCES.register(BetaTCConfig)
class BetaTC(Divergence[BetaTCConfig]):
    r"""The rate in three parts, $\alpha I(x; z) + \beta \mathrm{TC}(z) + \gamma \sum_d \mathrm{KL}(q(z_d) \,\|\, p(z_d))$.

    Chen et al. (2018, equation 2). The aggregate posterior $q(z)$ is estimated from the minibatch: `weighted` is their
    equation 5, biased low in $\log q(z)$; `stratified` (appendix C.2) is unbiased for $q(z)$ itself. With all three
    weights 1 the terms telescope to $\log q(z \mid x) - \log p(z)$ whatever the estimator. Takes the place of `kl`.

    For models with one latent group whose posterior is a product over its components.

    *Cost*: the log-densities of all B draws under all B posteriors, B x B x d.

    Use it as `adversarial_tc` without a discriminator; the minibatch estimate is biased, the more the smaller the
    batch, and results vary strongly with the seed.
    """

    def __init__(self, config: BetaTCConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.alpha, self.beta, self.gamma = (schedule(c) for c in (config.alpha, config.beta, config.gamma))

    def check(self, model: VAE, trace: Trace) -> None:
        names = f"posterior '{model.posterior.config.kind}' and prior '{model.prior.config.kind}'"
        if len(trace.groups) != 1:
            raise BuildError(
                f"divergence '{self.name}' decomposes the KL of one latent group, and {names} have {len(trace.groups)}. "
                "Use a flat prior, or the divergence 'adversarial_tc'."
            )
        q = trace.groups[0].q
        try:
            assert q is not None
            q.log_prob_terms(trace.groups[0].z)
        except NotImplementedError as error:
            raise BuildError(
                f"divergence '{self.name}' needs a posterior that is a product over its components, and {names} give "
                "none. Use the posterior 'diagonal_normal', or the divergence 'adversarial_tc'."
            ) from error

    def parts(self, trace: Trace, context: StepContext) -> tuple[Tensor, Tensor, Tensor]:
        """Mutual information, total correlation and dimension-wise KL of each datum, each `[B]`."""
        group = trace.groups[0]
        q, z = group.q, group.z[0]
        assert q is not None
        batch = z.shape[0]
        # [d, i, j]: the density of component d of datum i's draw under datum j's posterior
        pairs = all_posteriors(group).log_prob_terms_of_each(z)
        weights = log_weights(batch, context.dataset_size, self.config.estimator, pairs[0])
        log_q = torch.logsumexp(weights + pairs.sum(0), 1)
        log_product = log_sum_exp(weights + pairs).sum(0)
        return group.log_q[0] - log_q, log_q - log_product, log_product - group.log_p[0]

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        information, correlation, dimensions = self.parts(trace, context)
        return self.alpha(context) * information + self.beta(context) * correlation + self.gamma(context) * dimensions
