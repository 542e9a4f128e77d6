"""Densities of the aggregate posterior, and of its marginals, estimated from some of the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.distributions import DiagonalNormal, Distribution
from vaelab.distributions.base import parameters_of
from vaelab.types import numel


@dataclass(frozen=True)
class LogDensities:
    """Estimates at M points, in nats.

    Attributes:
        joint: log q(z) `[M]`, float64, on the CPU.
        marginals: log q(z_d) of each component `[M, D]`, or None where the mixed densities are no products.
    """

    joint: Tensor
    marginals: Tensor | None


def is_product(q: Distribution, z: Tensor) -> bool:
    """Whether a distribution is a product over the components of its event, so that it has marginals in closed form."""
    try:
        q.log_prob_terms(z)
    except NotImplementedError:
        return False
    return True


def joined(parts: Sequence[Distribution]) -> Distribution:
    """Posteriors of several batches, each of batch shape `(K, B)`, as one of batch shape `(M,)`; the first of the K is taken."""
    found = [parameters_of(part.expand(part.batch_shape).map(lambda tensor, event_ndim: tensor[0])) for part in parts]
    columns = iter([torch.cat(column) for column in zip(*found, strict=True)])
    return parts[0].map(lambda tensor, event_ndim: next(columns))


def constant_component(z: Tensor) -> int | None:
    """The first component of `[M, *event]` that does not vary, or None."""
    flat = z.flatten(1)
    constant = (flat == flat[:1]).all(0).nonzero()
    return int(constant[0]) if len(constant) else None


def log_mixture(
    z: Tensor, components: Distribution, own: float, max_elements: int = 2**22, *, marginals: bool = True
) -> LogDensities:
    r"""$\log\big[w\, q_i(z_i) + \frac{1-w}{M-1}\sum_{j \ne i} q_j(z_i)\big]$, and the same of each marginal.

    With $w = 1/N$ it is the stratified estimate of the density of the aggregate posterior of N data from M of them: each of
    the others stands for $(N-1)/(M-1)$ of those that are not seen, so that the density itself is estimated without bias
    (Chen et al. 2018, appendix C.2, with equal weights for the others). $M = N$ is the exact mixture; $w = 0$ leaves the
    datum's own component out.

    Args:
        z: `[M, *event]`, $z_i$ drawn from component i; M at least 2.
        components: $q_j$, batch shape `(M,)`.
        own: w.
        max_elements: numbers of pairs and components that are held at a time.
        marginals: whether the marginals are wanted, which cost more than the joint density.
    """
    number, size = len(z), numel(tuple(components.event_shape))
    product = marginals and is_product(components, z)
    weight = math.log(own) if own > 0 else -math.inf
    others = math.log1p(-own) - math.log(number - 1)
    rows = max(1, max_elements // (number * size))
    joint, each = [], []
    for start in range(0, number, rows):
        part = z[start : start + rows]
        points = part.unsqueeze(1)
        weights = torch.full((len(part), number), others, dtype=torch.float64)
        here = torch.arange(len(part))
        weights[here, start + here] = weight
        if product:
            terms = components.log_prob_terms(points).flatten(2).cpu().double()
            each.append(torch.logsumexp(terms + weights.unsqueeze(2), 1))
            pairs = terms.sum(2)
        else:
            points = points.expand(len(part), *z.shape)
            pairs = components.expand(points.shape[:2]).log_prob(points).cpu().double()
        joint.append(torch.logsumexp(pairs + weights, 1))
    return LogDensities(torch.cat(joint), torch.cat(each) if product else None)


def log_kernel(z: Tensor, max_elements: int = 2**22) -> LogDensities:
    r"""Leave-one-out kernel estimates, $\hat q(z_i) = \frac1{M-1}\sum_{j \ne i} \prod_d \mathcal N(z_{id}; z_{jd}, h_d^2)$.

    The bandwidths are $h_d = s_d M^{-1/(D+4)}$ with the standard deviation $s_d$ of component d (Scott 1992);
    each marginal is estimated anew in one dimension, with $h_d = s_d M^{-1/5}$.

    Args:
        z: `[M, *event]`, M at least 2; no component is constant.
        max_elements: numbers of pairs and components that are held at a time.
    """
    flat = z.flatten(1).cpu().double()
    number, size = flat.shape
    spread = flat.std(0)

    def kernels(dimensions: int) -> DiagonalNormal:
        scale = (spread * number ** (-1 / (dimensions + 4))).expand_as(flat)
        return DiagonalNormal(flat, scale, scale.log())

    joint = log_mixture(flat, kernels(size), 0.0, max_elements, marginals=False).joint
    return LogDensities(joint, log_mixture(flat, kernels(1), 0.0, max_elements).marginals)
