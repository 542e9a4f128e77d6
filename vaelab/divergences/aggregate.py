"""The aggregate posterior as a minibatch estimates it."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vaelab.distributions import Distribution
from vaelab.inference import Group
from vaelab.shared_batch import own_rows, whole

#: Minibatch stratified sampling, or minibatch weighted sampling.
Estimator = Literal["stratified", "weighted"]


def log_aggregate(group: Group, size: int, estimator: Estimator) -> Tensor:
    r"""An estimate of $\log q(z_i)$ `[B]` at the first draw of each datum, for any posterior with a density.

    Args:
        group: one latent group that depends on no other.
        size: N, number of training data.
        estimator: see `log_weights`.
    """
    assert group.q is not None
    z = group.z[0]
    # [i, j]: the density of datum i's draw under datum j's posterior
    pairs = all_posteriors(group).log_prob_of_each(z)
    return torch.logsumexp(log_weights(len(z), size, estimator, pairs) + pairs, 1)


def all_posteriors(group: Group) -> Distribution:
    """The posteriors of the first draw of each datum of the whole batch, batch shape `(B,)`."""
    assert group.q is not None
    rows = len(group.z[0])
    return group.q.map(lambda tensor, event_ndim: whole(tensor[0].expand(rows, *tensor.shape[2:])))


def log_weights(batch: int, size: int, estimator: str, like: Tensor) -> Tensor:
    r"""Log weights `[B, B]`, or the rows of this process's data, with which the densities of a minibatch estimate the aggregate posterior.

    Args:
        batch: data of this process.
        size: N, number of training data.
        estimator: `weighted` gives each $1/(BN)$ (which ignores that the datum itself is in the batch); `stratified`
            gives the datum itself $1/N$, one other $(N-M)/(NM)$ and the rest $1/M$, with $M = B - 1$.
        like: a tensor `[batch, B]` whose dtype and device the weights take.
    """
    own, batch = own_rows(batch), like.shape[1]
    if estimator == "weighted" or batch == 1:
        return like.new_full((batch, batch), -math.log(batch * max(size, batch)))[own]
    others = batch - 1
    size = max(size, batch)
    weights = like.new_full((batch, batch), 1 / others)
    rows = torch.arange(batch, device=like.device)
    weights[rows, rows] = 1 / size
    weights[rows, (rows + 1) % batch] = (size - others) / (size * others)
    return weights.log()[own]


def log_sum_exp(terms: Tensor) -> Tensor:
    """`torch.logsumexp` over the last axis, of finite numbers: the exponentials are kept for the gradient, not taken again."""
    result: Tensor = _LogSumExp.apply(terms)
    return result


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, terms: Tensor) -> Tensor:
        largest = terms.amax(-1, keepdim=True)
        exponentials = (terms - largest).exp_()
        total = exponentials.sum(-1, keepdim=True)
        ctx.save_for_backward(exponentials, total)
        return (total.log() + largest).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        exponentials, total = ctx.saved_tensors
        return exponentials * (gradient.unsqueeze(-1) / total)
