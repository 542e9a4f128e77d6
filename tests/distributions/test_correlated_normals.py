"""Normals with a Cholesky factor and with a low-rank covariance against scipy and torch."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from torch import distributions as td

from distributions.latent_examples import full_normal, low_rank_normal
from vaelab.distributions import DiagonalNormal, FullNormal, closed_kl

EVENTS = pytest.mark.parametrize("event", [(4,), (2, 3, 2), (1,)], ids=["vector", "map", "number"])


def covariance(normal) -> torch.Tensor:
    if isinstance(normal, FullNormal):
        return normal.tril @ normal.tril.mT
    scale = (2 * normal.log_scale).exp().flatten(-normal.event_ndim)
    return normal.factor @ normal.factor.mT + torch.diag_embed(scale)


@EVENTS
@pytest.mark.parametrize("make", [full_normal, low_rank_normal])
def test_density_entropy_and_variance(make, event: tuple[int, ...]):
    normal = make(*event)
    value = torch.randn(5, *normal.batch_shape, *event, dtype=torch.float64)
    flat, loc, matrix = (part.flatten(-len(event)) for part in (value, normal.loc, normal.loc))
    matrix = covariance(normal)
    at = (1, 2)
    expected = scipy.stats.multivariate_normal(loc[at].numpy(), matrix[at].numpy())
    np.testing.assert_allclose(
        normal.log_prob(value)[:, 1, 2].numpy(), expected.logpdf(flat[:, 1, 2].numpy()).reshape(5), rtol=1e-9
    )
    np.testing.assert_allclose(normal.entropy()[at].item(), expected.entropy(), rtol=1e-9)
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(normal.variance.flatten(-len(event)), diagonal)


@pytest.mark.parametrize("make", [full_normal, low_rank_normal])
def test_draws_have_the_covariance(make):
    normal = make(3)
    draws = normal.sample(torch.Size((40_000,)))[:, 1, 1]
    error = draws - normal.loc[1, 1]
    products = error.unsqueeze(-1) * error.unsqueeze(-2)
    stderr = products.std(0) / 40_000**0.5
    assert ((products.mean(0) - covariance(normal)[1, 1]).abs() < 5 * stderr).all()


@pytest.mark.parametrize("make", [full_normal, low_rank_normal])
def test_kl_against_torch(make):
    q = make(4)
    p = DiagonalNormal.from_log_scale(torch.randn(4, dtype=torch.float64), 0.3 * torch.randn(4, dtype=torch.float64))
    reference = td.MultivariateNormal(q.loc, covariance(q))
    expected = td.kl_divergence(reference, td.MultivariateNormal(p.loc, torch.diag(p.scale.square())))
    torch.testing.assert_close(closed_kl(q, p), expected)
    # a prior without a batch and one with it are the same
    torch.testing.assert_close(closed_kl(q, p.expand(q.batch_shape)), expected)


def test_kl_between_full_normals_against_torch():
    q, p = full_normal(4), full_normal(4)
    expected = td.kl_divergence(
        td.MultivariateNormal(q.loc, covariance(q)), td.MultivariateNormal(p.loc, covariance(p))
    )
    torch.testing.assert_close(closed_kl(q, p), expected)


def test_the_gradient_of_a_draw_is_the_map_of_its_noise():
    normal = full_normal(3)
    loc, tril = normal.loc[0, 0].clone().requires_grad_(), normal.tril[0, 0].clone().requires_grad_()
    torch.manual_seed(3)
    z = FullNormal(loc, tril).rsample()
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    (weights * z).sum().backward()
    noise = torch.linalg.solve_triangular(tril.detach(), (z - loc).detach().unsqueeze(-1), upper=False).squeeze(-1)
    torch.testing.assert_close(loc.grad, weights)
    torch.testing.assert_close(tril.grad, weights.unsqueeze(-1) * noise)


def test_a_diagonal_factor_is_the_diagonal_normal():
    diagonal = DiagonalNormal.from_log_scale(*torch.randn(2, 5, 4, dtype=torch.float64))
    full = FullNormal(diagonal.loc, torch.diag_embed(diagonal.scale))
    value = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(full.log_prob(value), diagonal.log_prob(value))
    p = DiagonalNormal.from_log_scale(*torch.randn(2, 4, dtype=torch.float64))
    torch.testing.assert_close(closed_kl(full, p), closed_kl(diagonal, p))
