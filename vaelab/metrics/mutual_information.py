"""Mutual information between data and latents."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from vaelab.distributions import Distribution
from vaelab.errors import DataError
from vaelab.inference import infer_latents
from vaelab.metrics.aggregate import joined, log_mixture
from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Split


class MutualInformationConfig(ComponentConfig):
    """Arguments of the mutual information."""

    kind: Literal["mutual_information"] = "mutual_information"

    limit: PositiveInt = Field(2000, ge=2)
    """N, use the first so many data; the cost grows with its square, and the estimate cannot exceed log N."""

    max_elements: PositiveInt = 2**22
    """Numbers a pass may hold in one tensor."""

    @classmethod
    def example(cls) -> MutualInformationConfig:
        return cls(limit=20)


@METRICS.register(MutualInformationConfig)
class MutualInformation(Metric[MutualInformationConfig]):
    r"""What the first latent group says of the data, in nats.

    $$I(x; z) = \mathbb{E}_x \mathrm{KL}(q(z \mid x) \,\|\, q(z))$$

    $q(z)$ is the mixture of the posteriors of the N data that are used, so $I \le \log N$: a value near that says
    that N is too small. `aggregate_kl` is what is left of the rate, $\mathrm{KL}(q(z) \,\|\, p(z))$ (Hoffman &
    Johnson 2016, equation 3). Later groups depend on earlier ones and have no such mixture; a group of codes has no
    density and yields nothing, as does a posterior that cannot score every point.

    *Bias*: the mutual information is low where it is near $\log N$, and the aggregate KL then too high by as
    much. *Cost*: $N^2$ densities of a latent, and one pass of the encoder.

    Use it to tell a rate that carries information from one that is mere mismatch with the prior; it is limited by the
    logarithm of the number of data used.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        if model.prior.latent.groups[0].support != "real":
            return {}
        drawn: list[Tensor] = []
        posteriors: list[Distribution] = []
        log_q: list[Tensor] = []
        log_p: list[Tensor] = []
        for batch in context.limited(self.config.limit).batches(split):
            group = infer_latents(model, batch)[0][0]
            if not (group.has_density and group.q is not None and group.q.has_log_prob):
                return {}
            drawn.append(group.z[0])
            posteriors.append(group.q)
            log_q.append(group.log_q[0].cpu().double())
            log_p.append(group.log_p[0].cpu().double())
        z = torch.cat(drawn)
        if len(z) < 2:
            raise DataError("metric 'mutual_information' needs 2 data, and there is 1. Take a larger split.")
        mixed = log_mixture(z, joined(posteriors), 1 / len(z), self.config.max_elements, marginals=False).joint
        return {
            "mutual_information": averaged([torch.cat(log_q) - mixed], better="higher"),
            "aggregate_kl": averaged([mixed - torch.cat(log_p)], better="lower"),
        }
