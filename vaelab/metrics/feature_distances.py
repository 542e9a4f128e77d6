"""How far two sets of feature vectors are from each other: the arithmetic of FID, KID and precision and recall.

All of it is in float64 on the CPU: differences of large sums are what these numbers are made of.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Rows of a matrix of distances that are held at a time.
_ROWS = 1000


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    r"""$\lVert\mu_r-\mu_f\rVert^2 + \operatorname{tr}(C_r + C_f - 2(C_rC_f)^{1/2})$ of the sets' means and covariances.

    With $C_r = AA^\top$ and $C_f = BB^\top$ the trace of the root is the sum of the singular values of $A^\top B$. It is
    real and accurate for singular covariances too, where a general matrix root fails or loses half of the digits.

    Args:
        real: `[N, F]`, N at least 2.
        fake: `[M, F]`, M at least 2.
    """
    real, fake = real.double(), fake.double()
    (a, trace_a), (b, trace_b) = _root(real), _root(fake)
    cross = torch.linalg.svdvals(a.T @ b).sum()
    mean = (real.mean(0) - fake.mean(0)).square().sum()
    return max(0.0, float(mean + trace_a + trace_b - 2 * cross))


def _root(features: Tensor) -> tuple[Tensor, Tensor]:
    """A with the covariance $AA^\\top$, unbiased, `[F, F]`; and the covariance's trace."""
    centred = features - features.mean(0)
    covariance = centred.T @ centred / (len(features) - 1)
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp_min(0).sqrt(), covariance.trace()


def polynomial_mmd(real: Tensor, fake: Tensor) -> float:
    r"""The unbiased estimate of the squared MMD with the kernel $k(x, y) = (x^\top y / F + 1)^3$; it may be negative.

    $\frac{1}{N(N-1)}\sum_{i \ne j} k(x_i, x_j) + \frac{1}{M(M-1)}\sum_{i \ne j} k(y_i, y_j) - \frac{2}{NM}\sum_{i,j}
    k(x_i, y_j)$ (Gretton et al. 2012, equation 3).

    Args:
        real: `[N, F]`, N at least 2.
        fake: `[M, F]`, M at least 2.
    """
    real, fake = real.double(), fake.double()

    def within(x: Tensor) -> Tensor:
        gram = _cubic(x, x)
        return (gram.sum() - gram.trace()) / (len(x) * (len(x) - 1))

    return float(within(real) + within(fake) - 2 * _cubic(real, fake).mean())


def _cubic(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


@dataclass(frozen=True)
class Neighbourhoods:
    """What is inside of which ball; see `neighbourhoods`.

    Attributes:
        precision: `[M]`, whether a generated vector is in a ball of a real one.
        recall: `[N]`, whether a real vector is in a ball of a generated one.
        density: `[M]`, in how many balls of real vectors a generated one is, divided by k.
        coverage: `[N]`, whether a real vector's ball holds a generated one.
    """

    precision: Tensor
    recall: Tensor
    density: Tensor
    coverage: Tensor


def neighbourhoods(real: Tensor, fake: Tensor, k: int) -> Neighbourhoods:
    """Compare two sets by the open balls around each vector that reach to its k-th nearest neighbour of its own set.

    Args:
        real: `[N, F]`, N greater than k.
        fake: `[M, F]`, M greater than k.
        k: neighbours, not counting the vector itself.
    """
    real, fake = real.double(), fake.double()
    real_radius, fake_radius = _radii(real, k), _radii(fake, k)
    inside = torch.zeros(len(fake), dtype=torch.float64)
    recall, coverage = [], []
    for rows, radius in zip(real.split(_ROWS), real_radius.split(_ROWS), strict=True):
        distance = torch.cdist(rows, fake)
        held = distance < radius.unsqueeze(1)
        inside += held.sum(0)
        coverage.append(held.any(1))
        recall.append((distance < fake_radius).any(1))
    return Neighbourhoods((inside > 0).double(), torch.cat(recall).double(), inside / k, torch.cat(coverage).double())


def _radii(x: Tensor, k: int) -> Tensor:
    """Distance of each vector to its k-th nearest neighbour; the nearest of all is the vector itself."""
    return torch.cat([torch.cdist(rows, x).kthvalue(k + 1, dim=1).values for rows in x.split(_ROWS)])
