"""What the members of an ensemble say of data, and the weights that mix them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.metrics import EvaluationContext, chunks, log_weight_sums, seeded
from vaelab.runs import Run
from vaelab.types import Batch, Split

#: Numbers that a pass may hold in one tensor.
_MOST_ELEMENTS = 2**21
#: EM stops where no weight moves by more.
_TOLERANCE = 1e-8
_ITERATIONS = 10_000


def mixture_log_prob(log_p: Tensor, weights: Tensor) -> Tensor:
    r"""$\log\sum_m w_m e^{\ell_m}$ `[N]` of the members' log-densities `[M, N]` and the weights `[M]`."""
    return (log_p + weights.log()[:, None]).logsumexp(0)


def fit_weights(log_p: Tensor) -> Tensor:
    r"""The weights `[M]` that maximise the mean of $\log\sum_m w_m p_m(x)$, by EM from equal ones.

    The objective is concave in the weights, so this is the maximum, up to the tolerance.

    Args:
        log_p: the members' log-densities `[M, N]`.
    """
    weights = log_p.new_full((len(log_p),), 1 / len(log_p))
    for _ in range(_ITERATIONS):
        joint = log_p + weights.log()[:, None]
        new = (joint - joint.logsumexp(0)).exp().mean(1)
        moved = float((new - weights).abs().max())
        weights = new
        if moved < _TOLERANCE:
            break
    return weights


@dataclass(frozen=True)
class Scores:
    """What each member says of each datum.

    Attributes:
        log_p: the importance-sampled $\\log\\hat p_m(x)$, `[M, N]`, float64.
        elbo: the mean log importance weight, `[M, N]`, whose expectation is the ELBO.
    """

    log_p: Tensor
    elbo: Tensor


def score(runs: Sequence[Run], split: Split, samples: int, limit: int | None = None, seed: int = 0) -> Scores:
    """What each run's model says of each datum of a split, all of the same bits.

    Args:
        runs: the members.
        split: the data.
        samples: K.
        limit: use the first so many.
        seed: of every draw.
    """
    columns: list[tuple[Tensor, Tensor]] = []
    with torch.no_grad(), seeded(seed):
        for whole in EvaluationContext(limit=limit).batches(split):
            rows = [_scored(run, whole, samples) for run in runs]
            columns.append((torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows])))
    return Scores(torch.cat([column[0] for column in columns], 1), torch.cat([column[1] for column in columns], 1))


def _scored(run: Run, whole: Batch, samples: int) -> tuple[Tensor, Tensor]:
    """log p and ELBO `[B]` of a batch under one run."""
    log_p, elbo = [], []
    with run.model.evaluating():
        for batch, counts in chunks(run.model, whole.to(run.device), samples, _MOST_ELEMENTS):
            first, _, logs = log_weight_sums(run.model, batch, counts)
            log_p.append(first - math.log(samples))
            elbo.append(logs / samples)
    return torch.cat(log_p), torch.cat(elbo)
