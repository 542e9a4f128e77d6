"""Mutual information between data and latents."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from vaelab.inference import infer_latents
from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Batch, Split, numel


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
    much. *Cost*: $N^2$ densities of a latent, and encodings as often as batches are compared.

    Use it to tell a rate that carries information from one that is mere mismatch with the prior; it is limited by the
    logarithm of the number of data used.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        spec = model.prior.latent.groups[0]
        if spec.support != "real":
            return {}
        limited = context.limited(self.config.limit)
        first = infer_latents(model, next(limited.batches(split)))[0][0]
        if not (first.has_density and first.q is not None and first.q.has_log_prob):
            return {}
        drawn: list[Tensor] = []
        log_ratio: list[Tensor] = []  # log q(z | x) - log p(z), whose mean is the rate
        log_q: list[Tensor] = []
        posteriors: list[Batch] = []
        for batch in limited.batches(split):
            group = infer_latents(model, batch)[0][0]
            own = group.log_q[0]
            drawn.append(group.z[0])
            log_q.append(own.cpu().double())
            log_ratio.append((own - group.log_p[0]).cpu().double())
            posteriors.append(batch)
        zs = torch.cat(drawn)
        aggregate = torch.full((len(zs),), -math.inf, dtype=torch.float64)
        for batch in posteriors:
            q = infer_latents(model, batch)[0][0].q
            assert q is not None
            rows = max(1, self.config.max_elements // (len(batch) * numel(spec.shape)))
            for start in range(0, len(zs), rows):
                part = zs[start : start + rows]
                pairs = (len(part), len(batch))
                density = q.expand(torch.Size(pairs)).log_prob(part.unsqueeze(1).expand(*pairs, *spec.shape))
                mixed = density.cpu().double().logsumexp(1)
                aggregate[start : start + rows] = torch.logaddexp(aggregate[start : start + rows], mixed)
        aggregate -= math.log(len(zs))
        return {
            "mutual_information": averaged([torch.cat(log_q) - aggregate], better="higher"),
            "aggregate_kl": averaged([torch.cat(log_ratio) - torch.cat(log_q) + aggregate], better="lower"),
        }
