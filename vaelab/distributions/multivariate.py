"""Normal distributions whose components are correlated."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import register_kl

from vaelab.distributions.base import Distribution, SampleShape, TensorMap
from vaelab.distributions.normal import DiagonalNormal

_LOG_TWO_PI = math.log(2 * math.pi)


class FullNormal(Distribution):
    r"""Normal with any covariance, $\mathcal{N}(\mu, LL^\top)$.

    $$\log p(z) = -\tfrac12\lVert L^{-1}(z-\mu)\rVert^2 - \sum_d \log L_{dd} - \tfrac D2\log 2\pi$$

    Args:
        loc: $\mu$, `[*batch, *event]`, D numbers an event.
        tril: $L$, `[*batch, D, D]`, lower triangular with a positive diagonal.
        event_ndim: number of event axes of `loc`.
    """

    def __init__(self, loc: Tensor, tril: Tensor, event_ndim: int = 1) -> None:
        split = loc.ndim - event_ndim
        super().__init__(loc.shape[:split], loc.shape[split:])
        self.loc = loc
        self.tril = tril
        self.event_ndim = event_ndim

    def map(self, function: TensorMap) -> FullNormal:
        return FullNormal(function(self.loc, self.event_ndim), function(self.tril, 2), self.event_ndim)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.tril.square().sum(-1).reshape(self.loc.shape)

    @property
    def log_det(self) -> Tensor:
        r"""$\log\det L$ `[*batch]`, half of the covariance's."""
        return self.tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        shape = self._shape(sample_shape)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        step = self.tril @ noise.flatten(-self.event_ndim).unsqueeze(-1)
        return self.loc + step.reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        error = (value - self.loc).flatten(-self.event_ndim).unsqueeze(-1)
        white = torch.linalg.solve_triangular(self.tril, error, upper=False)
        size = self._event_shape.numel()
        return -0.5 * white.square().sum((-2, -1)) - self.log_det - 0.5 * size * _LOG_TWO_PI

    def entropy(self) -> Tensor:
        return self.log_det + 0.5 * self._event_shape.numel() * (1 + _LOG_TWO_PI)


class LowRankNormal(Distribution):
    r"""Normal whose covariance is diagonal plus a matrix of low rank, $\mathcal{N}(\mu, FF^\top + \operatorname{diag}\sigma^2)$.

    Density and determinant by the Woodbury identity and the matrix determinant lemma, at a cost of $DR^2$: with
    $C = I + F^\top\operatorname{diag}\sigma^{-2}F$, $\log\det\Sigma = \log\det C + 2\sum_d\log\sigma_d$.

    Args:
        loc: $\mu$, `[*batch, *event]`, D numbers an event.
        factor: $F$, `[*batch, D, R]`.
        log_scale: $\log\sigma$, shaped as `loc`.
        event_ndim: number of event axes of `loc`.
    """

    def __init__(self, loc: Tensor, factor: Tensor, log_scale: Tensor, event_ndim: int = 1) -> None:
        split = loc.ndim - event_ndim
        super().__init__(loc.shape[:split], loc.shape[split:])
        self.loc = loc
        self.factor = factor
        self.log_scale = log_scale
        self.event_ndim = event_ndim

    def map(self, function: TensorMap) -> LowRankNormal:
        n = self.event_ndim
        return LowRankNormal(function(self.loc, n), function(self.factor, 2), function(self.log_scale, n), n)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.factor.square().sum(-1).reshape(self.loc.shape) + (2 * self.log_scale).exp()

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        shape = self._shape(sample_shape)
        dtype, device = self.loc.dtype, self.loc.device
        common = torch.randn((*sample_shape, *self._batch_shape, self.factor.shape[-1], 1), dtype=dtype, device=device)
        own = torch.randn(shape, dtype=dtype, device=device)
        return self.loc + (self.factor @ common).reshape(shape) + self.log_scale.exp() * own

    def _capacitance(self) -> tuple[Tensor, Tensor, Tensor]:
        """`F / sigma`, the Cholesky factor of C, and half the log-determinant of the covariance."""
        log_scale = self.log_scale.flatten(-self.event_ndim)
        scaled = self.factor * (-log_scale).exp().unsqueeze(-1)
        eye = torch.eye(scaled.shape[-1], dtype=scaled.dtype, device=scaled.device)
        chol = torch.linalg.cholesky(eye + scaled.mT @ scaled)
        return scaled, chol, chol.diagonal(dim1=-2, dim2=-1).log().sum(-1) + log_scale.sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        scaled, chol, log_det = self._capacitance()
        white = ((value - self.loc) * (-self.log_scale).exp()).flatten(-self.event_ndim)
        explained = torch.linalg.solve_triangular(chol, scaled.mT @ white.unsqueeze(-1), upper=False)
        distance = white.square().sum(-1) - explained.square().sum((-2, -1))
        return -0.5 * (distance + self._event_shape.numel() * _LOG_TWO_PI) - log_det

    def entropy(self) -> Tensor:
        return self._capacitance()[2] + 0.5 * self._event_shape.numel() * (1 + _LOG_TWO_PI)


def _cross_entropy(q: FullNormal | LowRankNormal, p: DiagonalNormal) -> Tensor:
    """E_q[-log p] of a normal with independent components: it depends on the means and variances of q alone."""
    square = (q.variance + (q.loc - p.loc).square()) / p.scale.square()
    return (0.5 * (square + _LOG_TWO_PI) + p.log_scale).flatten(-q.event_ndim).sum(-1)


@register_kl(FullNormal, DiagonalNormal)
def kl_full_diagonal(q: FullNormal, p: DiagonalNormal) -> Tensor:
    r"""$\sum_d \frac{\Sigma_{dd} + (\mu_q-\mu_p)_d^2}{2\sigma_d^2} + \log\sigma_d - \log\det L - \frac D2$."""
    return _cross_entropy(q, p) - q.entropy()


@register_kl(LowRankNormal, DiagonalNormal)
def kl_low_rank_diagonal(q: LowRankNormal, p: DiagonalNormal) -> Tensor:
    """As for a full covariance, with the determinant of the low-rank form."""
    return _cross_entropy(q, p) - q.entropy()


@register_kl(FullNormal, FullNormal)
def kl_full_full(q: FullNormal, p: FullNormal) -> Tensor:
    r"""$\frac12(\lVert L_p^{-1}L_q\rVert_F^2 + \lVert L_p^{-1}(\mu_q-\mu_p)\rVert^2 - D) + \log\det L_p - \log\det L_q$."""
    shift = (q.loc - p.loc).flatten(-q.event_ndim).unsqueeze(-1)
    ratio = torch.linalg.solve_triangular(p.tril, q.tril, upper=False).square().sum((-2, -1))
    distance = torch.linalg.solve_triangular(p.tril, shift, upper=False).square().sum((-2, -1))
    return 0.5 * (ratio + distance - q.event_shape.numel()) + p.log_det - q.log_det
