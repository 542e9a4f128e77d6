"""Unsupervised disentanglement ranking of trained models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from vaelab.errors import DataError
from vaelab.metrics.base import EvaluationContext, seeded
from vaelab.metrics.disentanglement import udr
from vaelab.metrics.disentanglement.arrays import Array
from vaelab.metrics.factor_codes import encode
from vaelab.model import VAE
from vaelab.types import Split


def rank_models(
    models: Sequence[VAE],
    split: Split,
    context: EvaluationContext | None = None,
    *,
    limit: int = 10_000,
    similarity: Literal["lasso", "spearman"] = "lasso",
    threshold: float = 0.01,
) -> Array:
    """The UDR of each model `[M]`: how far its codes agree with those of the others (Duan et al. 2020); see `udr`.

    No metric of one model, so it is called from Python: with the models of several runs that differ in their seed
    alone. To choose hyperparameters, compute it for each setting and compare the scores; no factors are needed. The codes
    are the centres of the posteriors, of all latent groups. Cost: one pass over `limit` data a model, and a regression a
    pair.

    Raises:
        DataError: there are fewer than two models, or one whose posteriors or priors are no diagonal normals.
    """
    limited = (context or EvaluationContext()).limited(limit)
    codes, rates = [], []
    for model in models:
        with model.evaluating(), torch.no_grad(), seeded(limited.seed):
            found = encode(model, limited.batches(split.to(model.device)))
        if found.rate is None:
            raise DataError(
                "UDR needs the KL of each code, which only diagonal normal posteriors and priors offer here"
            )
        codes.append(found.mean)
        rates.append(found.rate)
    return udr(codes, rates, similarity, threshold)
