"""Normal variables moved by Hamiltonian dynamics on a Riemannian manifold."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vaelab.distributions.base import Draw, TensorMap
from vaelab.distributions.hamiltonian import HamiltonianNormal, slope
from vaelab.distributions.normal import DiagonalNormal


class KernelMetric(NamedTuple):
    r"""$G^{-1}(z) = \sum_i L_iL_i^\top e^{-\lVert z - c_i\rVert^2/T^2} + \lambda I$ (Chadebec et al. 2020).

    Symmetric and positive definite everywhere, with no eigenvalue below $\lambda$. Far from all centroids it is
    $\lambda I$: there the volume $\sqrt{\det G}$ is large, and paths of the geometry avoid it.

    Attributes:
        centroids: $c_i$, `[N, d]`.
        factors: $L_i$, `[N, d, d]`.
        temperature: T, the reach of a centroid.
        regularisation: $\lambda > 0$.
    """

    centroids: Tensor
    factors: Tensor
    temperature: float
    regularisation: float

    def inverse(self, z: Tensor) -> Tensor:
        r"""$G^{-1}$ `[*, d, d]` at points `[*, d]`."""
        squares = (z.unsqueeze(-2) - self.centroids).square().sum(-1)
        weights = (-squares / self.temperature**2).exp()
        size = z.shape[-1]
        outer = (self.factors @ self.factors.mT).flatten(1)
        identity = torch.eye(size, dtype=z.dtype, device=z.device)
        return (weights @ outer).unflatten(-1, (size, size)) + self.regularisation * identity


class RiemannianHamiltonianNormal(HamiltonianNormal):
    r"""A normal draw moved by L tempered steps of Hamiltonian dynamics with a metric G(z) for a mass.

    $$H(z, \rho) = -\log\pi(z) + \tfrac12\log\det G(z) + \tfrac12\rho^\top G^{-1}(z)\rho$$

    with $\rho_0 \sim \mathcal{N}(0, \beta_0^{-1} G(z_0))$ and the generalised leapfrog, whose first two lines are implicit
    (Girolami & Calderhead 2011; Chadebec et al. 2020):

    $$\rho' = \rho - \tfrac\varepsilon2\partial_z H(z, \rho'), \quad
    z' = z + \tfrac\varepsilon2\big(G^{-1}(z) + G^{-1}(z')\big)\rho', \quad
    \rho'' = \rho' - \tfrac\varepsilon2\partial_z H(z', \rho')$$

    Each is solved by a fixed number of fixed-point iterations, which evaluate the metric and not $\pi$. At the solutions the
    step preserves volume and can be run backwards, also with a step size of its own for each component. The tempering scales
    the momentum by $\sqrt{\beta_0}$ from start to end, as in `HamiltonianNormal`, so that what stands for $\log q$ is
    $\log q_0(z_0) + \log\mathcal{N}(\sqrt{\beta_0}\rho_0; 0, G(z_0)) - \log\mathcal{N}(\rho_L; 0, G(z_L))$. With
    $G = I$ it is `HamiltonianNormal`.

    The iterations contract where $\tfrac\varepsilon2\lVert\partial_z(G^{-1}(z)\rho)\rVert < 1$, and the steps are stable where
    $\varepsilon^2$ times the largest eigenvalue of $-G^{-1}\nabla^2\log\pi$ is below 4. Beyond either the draws fly off
    and the rate rises.

    Args:
        base: distribution of $z_0$, `[*batch, d]`.
        log_target: $\log\pi$, maps `[*batch, d]` to `[*batch]`.
        step_size: $\varepsilon$, `[d]`.
        root_temper: $\sqrt{\beta_0}$ in (0, 1], `[d]`, the same everywhere.
        steps: L.
        inverse_metric: $G^{-1}$, maps `[*batch, d]` to `[*batch, d, d]`. Must not depend on the draw.
        iterations: of each implicit line.
    """

    def __init__(
        self,
        base: DiagonalNormal,
        log_target: Callable[[Tensor], Tensor],
        step_size: Tensor,
        root_temper: Tensor,
        steps: int,
        inverse_metric: Callable[[Tensor], Tensor],
        iterations: int,
    ) -> None:
        super().__init__(base, log_target, step_size, root_temper, steps)
        self.inverse_metric = inverse_metric
        self.iterations = iterations

    def map(self, function: TensorMap) -> RiemannianHamiltonianNormal:
        step_size, root_temper = function(self.step_size, 1), function(self.root_temper, 1)
        return RiemannianHamiltonianNormal(
            self.base.map(function),
            self.log_target,
            step_size,
            root_temper,
            self.steps,
            self.inverse_metric,
            self.iterations,
        )

    def _move(self, z: Tensor) -> Draw:
        log_q = self.base.log_prob(z)
        inverse = self.inverse_metric(z)
        factor = _cholesky(inverse)
        noise = torch.randn_like(z)
        # G = C^-T C^-1 where G^-1 = C C^T, so that C^-T of white noise has the covariance G
        momentum = torch.linalg.solve_triangular(factor.mT, noise.unsqueeze(-1), upper=True).squeeze(-1)
        log_q = log_q + self._kinetic(noise) + _half_log_det(factor)
        momentum = momentum / self.root_temper
        force = self._force(z)
        for tempering in self._temperings():
            z, momentum, inverse, force = self._leapfrog(z, momentum, inverse, force)
            momentum = momentum * tempering
        factor = _cholesky(inverse)
        white = (factor.mT @ momentum.unsqueeze(-1)).squeeze(-1)
        return Draw(z, log_q - self._kinetic(white) - _half_log_det(factor))

    def _leapfrog(
        self, z: Tensor, momentum: Tensor, inverse: Tensor, force: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One step. `inverse` and `force` are those of z; returned are position, momentum, and those two there."""
        half = 0.5 * self.step_size
        pushed = momentum + half * force
        moving = momentum
        for _ in range(self.iterations):
            moving = pushed + half * self._pull(z, moving)
        start = z + half * _times(inverse, moving)
        end = z
        for _ in range(self.iterations):
            end = start + half * _times(inverse, moving)
            inverse = self.inverse_metric(end)
        force = self._force(end)
        return end, moving + half * (force + self._pull(end, moving)), inverse, force

    def _force(self, z: Tensor) -> Tensor:
        r"""$\partial_z(\log\pi(z) - \frac12\log\det G(z))$."""

        def energy(at: Tensor) -> Tensor:
            return self.log_target(at) + _half_log_det(_cholesky(self.inverse_metric(at)))

        return slope(energy, z)

    def _pull(self, z: Tensor, momentum: Tensor) -> Tensor:
        r"""$-\partial_z\frac12\rho^\top G^{-1}(z)\rho$ at a fixed momentum."""
        return slope(lambda at: -0.5 * (momentum * _times(self.inverse_metric(at), momentum)).sum(-1), z)


def _cholesky(matrix: Tensor) -> Tensor:
    """The factor, without torch's own check: the metric is positive definite by its form, and steps that diverged shall end
    in a loss that is no number, for which training has a message."""
    factor: Tensor = torch.linalg.cholesky_ex(matrix).L
    return factor


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def _half_log_det(factor: Tensor) -> Tensor:
    """Half of the log-determinant of G^-1 from its Cholesky factor."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
