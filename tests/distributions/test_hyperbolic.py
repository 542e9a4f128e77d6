"""Normals on the Poincare ball: geometry, densities by quadrature over the ball, draws and their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from vaelab.distributions import RiemannianNormal, WrappedNormal, from_tangent
from vaelab.distributions.hyperbolic import log_sinh_ratio, mobius_add, to_tangent

CURVATURES = pytest.mark.parametrize("c", [0.3, 1.0, 2.0])
DTYPE = torch.float64


def points(c: float, dim: int = 3, number: int = 20) -> torch.Tensor:
    return from_tangent(torch.zeros(dim, dtype=DTYPE), 2 * torch.randn(number, dim, dtype=DTYPE), c)


def distance(x: torch.Tensor, y: torch.Tensor, c: float) -> torch.Tensor:
    """By the textbook's formula with arcosh."""
    gap = (x - y).square().sum(-1)
    room = (1 - c * x.square().sum(-1)) * (1 - c * y.square().sum(-1))
    return torch.acosh(1 + 2 * c * gap / room) / math.sqrt(c)


@CURVATURES
def test_exponential_and_logarithmic_map(c: float):
    loc, u = points(c), torch.randn(20, 3, dtype=DTYPE)
    z = from_tangent(loc, u, c)
    torch.testing.assert_close(to_tangent(loc, z, c), u)
    torch.testing.assert_close(distance(loc, z, c), u.norm(dim=-1))
    assert (c * z.square().sum(-1) < 1).all()


@CURVATURES
def test_addition_is_an_isometry_that_moves_the_origin(c: float):
    x, y, z = points(c), points(c), points(c)
    torch.testing.assert_close(mobius_add(x, torch.zeros_like(x), c), x)
    torch.testing.assert_close(mobius_add(-x, mobius_add(x, y, c), c), y)
    torch.testing.assert_close(distance(mobius_add(x, y, c), mobius_add(x, z, c), c), distance(y, z, c))


def test_log_sinh_ratio():
    x = torch.tensor([0.0, 1e-9, 1e-3, 0.0099, 0.0101, 1.0, 30.0], dtype=DTYPE, requires_grad=True)
    expected = [0.0, *(float(np.log(np.sinh(v) / v)) for v in x[1:].tolist())]
    torch.testing.assert_close(log_sinh_ratio(x), torch.tensor(expected, dtype=DTYPE), rtol=1e-9, atol=1e-12)
    assert torch.isfinite(torch.autograd.grad(log_sinh_ratio(x).sum(), x)[0]).all()
    assert torch.isfinite(log_sinh_ratio(torch.tensor([1e3]))).all()


def wrapped(c: float) -> WrappedNormal:
    return WrappedNormal(torch.tensor([0.3, -0.4], dtype=DTYPE), torch.tensor([-0.2, 0.3], dtype=DTYPE), c)


def riemannian(c: float) -> RiemannianNormal:
    return RiemannianNormal(torch.tensor([0.3, -0.4], dtype=DTYPE), torch.tensor(0.2, dtype=DTYPE), c)


def disk(c: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of the disk in polar coordinates, and the volume that each stands for."""
    r = torch.linspace(0, 14, 2001, dtype=DTYPE)[1:]
    angle = torch.linspace(0, 2 * math.pi, 201, dtype=DTYPE)[:-1]
    z = torch.tanh(0.5 * math.sqrt(c) * r)[:, None, None] / math.sqrt(c) * torch.stack([angle.cos(), angle.sin()], -1)
    volume = torch.sinh(math.sqrt(c) * r) / math.sqrt(c) * (r[1] - r[0]) * (angle[1] - angle[0])
    return z, volume.unsqueeze(-1)


@CURVATURES
@pytest.mark.parametrize("make", [wrapped, riemannian])
def test_density_integrates_to_one_and_draws_follow_it(make, c: float):
    q, (z, volume) = make(c), disk(c)
    share = q.log_prob(z).exp() * volume
    assert share.sum().item() == pytest.approx(1.0, abs=1e-4)
    draws = q.sample(torch.Size((20_000,)))
    for function in (lambda at: at, lambda at: at.square(), lambda at: at[..., :1] * at[..., 1:]):
        exact = (share.unsqueeze(-1) * function(z)).sum((0, 1))
        seen = function(draws)
        assert ((seen.mean(0) - exact).abs() < 5 * seen.std(0) / 20_000**0.5 + 1e-4).all()


def test_a_flat_ball_is_the_plane():
    """For a curvature near zero the ball's points are half of the plane's, and both densities are a normal's."""
    scale = torch.tensor([0.1, -0.3], dtype=DTYPE)
    z = torch.tensor([0.2, -0.1], dtype=DTYPE)
    normal = torch.distributions.Normal(torch.zeros(2, dtype=DTYPE), scale.exp())
    flat = WrappedNormal(torch.zeros(2, dtype=DTYPE), scale, 1e-6)
    torch.testing.assert_close(flat.log_prob(z), normal.log_prob(2 * z).sum(), rtol=1e-4, atol=1e-4)
    one = RiemannianNormal(torch.zeros(2, dtype=DTYPE), scale[0], 1e-6)
    round_normal = torch.distributions.Normal(0.0, scale[0].exp())
    torch.testing.assert_close(one.log_prob(z), round_normal.log_prob(2 * z).sum(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dim", [2, 5, 40])
@pytest.mark.parametrize("sigma", [1e-2, 0.5, 2.0])
def test_normaliser_radius_and_derivative_of_the_radius(dim: int, sigma: float):
    q = RiemannianNormal(torch.zeros(dim, dtype=DTYPE), torch.tensor(math.log(sigma), dtype=DTYPE), 1.0)
    precision = torch.full((3000,), sigma**-2, dtype=DTYPE)
    mode = q._mode(precision[:1]).item()
    grid = torch.linspace(max(0.0, mode - 9 * sigma), mode + 9 * sigma, 200_001, dtype=DTYPE)[1:]

    def cumulated(at: float) -> np.ndarray:
        log_density = q._log_radius(grid, torch.tensor(at, dtype=DTYPE))
        total = scipy.integrate.cumulative_trapezoid((log_density - log_density.max()).exp(), grid, initial=0)
        return total / total[-1]

    log_density = q._log_radius(grid, precision[0])
    top = log_density.max()
    exact = scipy.integrate.trapezoid((log_density - top).exp(), grid)
    assert q._terms(precision[:1])[1].logsumexp(0).item() == pytest.approx(top.item() + math.log(exact), abs=1e-6)
    r = q._draw_radius(precision)
    cdf = cumulated(sigma**-2)
    assert scipy.stats.kstest(r.numpy(), lambda at: np.interp(at, grid, cdf)).pvalue > 1e-4

    leaf = torch.tensor(math.log(sigma), dtype=DTYPE, requires_grad=True)
    z = RiemannianNormal(q.loc, leaf.expand(500), 1.0).expand((500,)).rsample()
    r = to_tangent(q.loc, z.detach(), 1.0).norm(dim=-1).numpy()
    (slope,) = torch.autograd.grad(to_tangent(q.loc, z, 1.0).norm(dim=-1).sum(), leaf)
    step = 1e-3
    change = cumulated(math.exp(-2 * (math.log(sigma) + step))) - cumulated(math.exp(-2 * (math.log(sigma) - step)))
    expected = np.interp(r, grid, -change / (2 * step) / np.maximum(np.gradient(cdf, grid.numpy()), 1e-300))
    assert slope.item() == pytest.approx(expected.sum(), rel=5e-3)


@pytest.mark.parametrize("make", [wrapped, riemannian])
def test_gradient_of_a_draw_by_its_middle_point_against_finite_differences(make):
    q = make(1.0)

    def total(loc: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(4)
        moved = type(q)(loc, q.log_scale, q.curvature)
        z = moved.rsample(torch.Size((5,)))
        return z.sum() + moved.log_prob(z).sum()

    assert torch.autograd.gradcheck(total, (q.loc.clone().requires_grad_(),))


@pytest.mark.parametrize("form", [WrappedNormal, RiemannianNormal])
def test_single_precision_survives_the_edge_of_the_ball(form):
    loc = from_tangent(torch.zeros(4), 30 * torch.randn(50, 4), 1.0).requires_grad_()
    log_scale = torch.full((50, 4) if form is WrappedNormal else (50,), 1.5, requires_grad=True)
    q = form(loc, log_scale, 1.0)
    z = q.rsample()
    assert (z.norm(dim=-1) < 1).all()
    for gradient in torch.autograd.grad(q.log_prob(z).sum(), [loc, log_scale]):
        assert torch.isfinite(gradient).all()


def test_a_scale_that_is_not_a_number_does_not_hang():
    q = RiemannianNormal(torch.zeros(1, 3), torch.tensor([math.nan]), 1.0)
    assert not torch.isfinite(q.sample()).any()
