"""Scores made of mutual information."""

from __future__ import annotations

import numpy as np
import torch

from vaelab.metrics.disentanglement.arrays import (
    Array,
    checked,
    discretised,
    entropies,
    information,
    mutual_information,
    top_two_gap,
)


def mig(codes: Array, factors: Array, bins: int = 20) -> Array:
    r"""Mutual information gap of each factor, `[F]`; the score is their mean (Chen et al. 2018, section 4).

    $$\frac{1}{H(v_k)} \big(I(z_{(1)}; v_k) - I(z_{(2)}; v_k)\big)$$

    with the two codes that tell most of factor k. Codes are cut into bins of equal width, as in Locatello et al. (2019).

    Raises:
        DataError: the arrays do not fit, or there is one code only.
    """
    codes, factors = checked(codes, factors, least_codes=2)
    gap: Array = top_two_gap(mutual_information(discretised(codes, bins), factors)) / entropies(factors)
    return gap


def rmig(mean: Array, scale: Array, factors: Array, bins: int = 20) -> Array:
    r"""Robust mutual information gap of each factor, `[F]`, normalised; the score is their mean (Do & Tran 2020).

    As `mig`, with a code's bin drawn from its posterior: $q(s_d, v_k) = \mathbb{E}[q(s_d \mid x) \mid v_k]\, p(v_k)$, where
    $q(s_d \mid x)$ is the probability of bin s under $\mathcal{N}(\mu_d(x), \sigma_d^2(x))$. It counts what the noise of
    the posterior destroys, without a draw. The bins are those of `mig`, the outer two without an end, so that it is
    `mig` where the scales are 0; the paper leaves the range open.

    Args:
        mean: $\mu$, `[N, D]`.
        scale: $\sigma$, `[N, D]`, positive.
        factors: `[N, F]`.
        bins: number of bins.

    Raises:
        DataError: the arrays do not fit, or there is one code only.
    """
    mean, factors = checked(mean, factors, least_codes=2)
    scale, _ = checked(scale, factors)
    told = np.empty((mean.shape[1], factors.shape[1]))
    for d in range(mean.shape[1]):
        edges = np.histogram_bin_edges(mean[:, d], bins)[1:-1]
        below = torch.special.ndtr(torch.from_numpy((edges - mean[:, d : d + 1]) / scale[:, d : d + 1])).numpy()
        share = np.diff(below, axis=1, prepend=0.0, append=1.0)
        for k in range(factors.shape[1]):
            values, which = np.unique(factors[:, k], return_inverse=True)
            joint = np.zeros((len(values), bins))
            np.add.at(joint, which, share)
            told[d, k] = information(joint)
    gap: Array = top_two_gap(told) / entropies(factors)
    return gap


def modularity(codes: Array, factors: Array, bins: int = 20) -> Array:
    r"""Modularity of each code, `[D]`; the score is their mean (Ridgeway & Mozer 2018).

    $$1 - \frac{\sum_{k \neq k^*} I(z_d; v_k)^2}{(F-1)\, I(z_d; v_{k^*})^2}, \quad k^* = \arg\max_k I(z_d; v_k)$$

    1 where the code tells of one factor alone; 0 where it tells nothing, as in Locatello et al. (2019).

    Raises:
        DataError: the arrays do not fit, or there is one factor only.
    """
    codes, factors = checked(codes, factors, least_factors=2)
    squares = mutual_information(discretised(codes, bins), factors) ** 2
    best = squares.max(1)
    others = squares.sum(1) - best
    known = best > 0
    result = np.zeros(len(best))
    result[known] = 1 - others[known] / (best[known] * (factors.shape[1] - 1))
    return result
