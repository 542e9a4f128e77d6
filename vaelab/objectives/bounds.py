"""Bounds from importance weights, and what their objectives share."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from vaelab.inference import Trace, sample_mean
from vaelab.model import VAE
from vaelab.objectives.base import MODEL

#: Name of the player whose parameters are encoder's and posterior's, where an objective trains them on their own.
INFERENCE = "inference"


def iwae_bound(log_weight: Tensor) -> Tensor:
    r"""$\log\frac1K\sum_k w_k$ `[..., B]` from log weights `[..., K, B]` (Burda et al. 2016, equation 8)."""
    return torch.logsumexp(log_weight, -2) - math.log(log_weight.shape[-2])


def miwae_bound(log_weight: Tensor, outer: int) -> Tensor:
    r"""The mean of M bounds with K samples each, `[B]` from `[M K, B]` (Rainforth et al. 2018, equation 8)."""
    return iwae_bound(rearrange(log_weight, "(m k) b -> m k b", m=outer)).mean(0)


def terms(trace: Trace, loss: Tensor, log_weight: Tensor) -> dict[str, Tensor]:
    """What the objectives of this family log, each `[B]`."""
    distortion = -sample_mean(trace.log_px)
    negative_elbo = -sample_mean(log_weight)
    return {
        "loss": loss,
        "negative_elbo": negative_elbo,
        "distortion": distortion,
        "kl": negative_elbo - distortion,
    }


def split_players(model: VAE) -> dict[str, list[nn.Parameter]]:
    """The generative model and the inference network as two players."""
    inference = [*model.encoder.parameters(), *model.posterior.parameters()]
    theirs = {id(parameter) for parameter in inference}
    return {MODEL: [p for p in model.parameters() if id(p) not in theirs], INFERENCE: inference}
