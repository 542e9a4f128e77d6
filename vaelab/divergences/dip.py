"""Disentangled inferred prior."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from vaelab.divergences.base import Divergence, DivergenceConfig
from vaelab.errors import BuildError
from vaelab.inference import Trace
from vaelab.model import VAE
from vaelab.registry import DIVERGENCES
from vaelab.shared_batch import batch_mean, count, mine, total
from vaelab.types import StepContext


class DIPConfig(DivergenceConfig):
    """Arguments of the penalty on covariances."""

    kind: Literal["dip"] = "dip"

    version: Literal["i", "ii"] = "ii"
    """`i` takes the covariance of the posterior's mean, `ii` that of z itself."""

    off_diagonal: float = Field(default=10.0, ge=0)
    """Weight of the squared covariances."""

    diagonal: float = Field(default=10.0, ge=0)
    """Weight of the squared distances of the variances from 1."""


@DIVERGENCES.register(DIPConfig)
class DIP(Divergence[DIPConfig]):
    r"""Moments of the aggregate posterior matched to the identity, $\lambda_{od}\sum_{i\neq j} C_{ij}^2 + \lambda_d\sum_i (C_{ii}-1)^2$.

    Kumar et al. (2018, equations 6 and 7): DIP-VAE-I with $C = \mathrm{Cov}_x(\mu(x))$, DIP-VAE-II with
    $C = \mathbb{E}_x \operatorname{diag}\sigma^2(x) + \mathrm{Cov}_x(\mu(x))$. Estimated from the minibatch, with the
    biased covariance (divided by B), and the same for each datum. Beside the term `kl`.

    *Cost*: a covariance of d x d over the minibatch.

    Use it to decorrelate latents at little cost; it sees covariances alone, so that dependent but uncorrelated latents
    pass, and its weights have to be searched for.
    """

    def check(self, model: VAE, trace: Trace) -> None:
        try:
            _moments(trace)
        except NotImplementedError as error:
            raise BuildError(
                f"divergence '{self.name}' needs the posterior's mean and variance, and posterior "
                f"'{model.posterior.config.kind}' has no closed form of them. Use 'diagonal_normal'."
            ) from error

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        mean, variance = _moments(trace)
        centred = mine(mean - batch_mean(mean))
        covariance = total(centred.T @ centred) / count(mean)
        if self.config.version == "ii":
            covariance = covariance + torch.diag(batch_mean(variance))
        diagonal = covariance.diagonal()
        off = covariance.square().sum() - diagonal.square().sum()
        penalty = self.config.off_diagonal * off + self.config.diagonal * (diagonal - 1).square().sum()
        return penalty.expand(len(mean))


def _moments(trace: Trace) -> tuple[Tensor, Tensor]:
    means, variances = [], []
    for group in trace.groups:
        assert group.q is not None
        means.append(group.q.mean[0].flatten(1))
        variances.append(group.q.variance[0].flatten(1))
    return torch.cat(means, 1), torch.cat(variances, 1)
