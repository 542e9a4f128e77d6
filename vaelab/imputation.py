"""Hidden numbers of incomplete data, drawn or estimated from what was observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaelab.errors import NoDensityError
from vaelab.types import Batch, numel

if TYPE_CHECKING:
    from vaelab.model import VAE


@dataclass(frozen=True)
class Imputation:
    """What was not observed, filled in.

    Attributes:
        mean: `[B, *shape]`, x where it was observed and an estimate of $E[x^m \\mid x^o]$ elsewhere.
        draws: `[M, B, *shape]`, x where it was observed and approximate draws from $p(x^m \\mid x^o)$ elsewhere.
        ess: `[B]` effective sample size of the weights, between 1 and K.
    """

    mean: Tensor
    draws: Tensor
    ess: Tensor


def impute(model: VAE, batch: Batch, samples: int = 100, draws: int = 0, max_elements: int = 2**24) -> Imputation:
    r"""Impute by self-normalised importance sampling (Mattei & Frellsen 2019, section 3).

    $$\mathbb E[x^m \mid x^o] \approx \sum_k \tilde w_k\, \mathbb E[x^m \mid z_k], \qquad
      w_k = \frac{p(x^o \mid z_k)\, p(z_k)}{q(z_k \mid x^o)}, \quad \tilde w_k = w_k / \textstyle\sum_l w_l$$

    A draw takes one $z_k$ with the probabilities $\tilde w$ and then $x^m \sim p(x \mid z_k)$ (sampling importance
    resampling). Both are exact as K goes to infinity, where the data are missing at random and the model is right.

    Args:
        model: in evaluation mode.
        batch: data with a mask.
        samples: K.
        draws: M.
        max_elements: numbers a pass may hold in one tensor; data are done in parts.

    Raises:
        ValueError: the batch has no mask.
        NoDensityError: the model has no importance weights.
    """
    if batch.observed is None:
        raise ValueError("all of the batch was observed (it has no mask), so there is nothing to impute")
    rows = max(1, max_elements // (samples * numel(model.data.shape)))
    with torch.no_grad():
        parts = [_impute(model, batch.rows(slice(i, i + rows)), samples, draws) for i in range(0, len(batch), rows)]
    return Imputation(
        torch.cat([part.mean for part in parts]),
        torch.cat([part.draws for part in parts], 1),
        torch.cat([part.ess for part in parts]),
    )


def _impute(model: VAE, batch: Batch, samples: int, draws: int) -> Imputation:
    assert batch.observed is not None
    trace = model.infer(batch, samples)
    if not trace.has_density:
        raise NoDensityError("imputation weighs draws of the posterior, and this model has no density of the latents")
    weight = trace.log_weight.softmax(0)
    guess = torch.einsum("kb,kb...->b...", weight, trace.likelihood.mean)
    row = torch.arange(len(batch), device=guess.device)
    # each draw samples x anew, since one z may be taken more than once
    drawn = [trace.likelihood.sample()[torch.multinomial(weight.T, 1)[:, 0], row] for _ in range(draws)]
    return Imputation(
        torch.where(batch.observed, batch.x, guess),
        torch.where(batch.observed, batch.x, torch.stack(drawn) if drawn else guess.new_empty(0, *guess.shape)),
        1 / weight.square().sum(0),
    )
