"""Distributions of unit vectors against mpmath, quadrature and known moments."""

from __future__ import annotations

import itertools
import math

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from vaelab.distributions import PowerSpherical, UniformSphere, VonMisesFisher, closed_kl
from vaelab.distributions.special import BesselI
from vaelab.distributions.sphere import log_area

DIMS = (2, 3, 5, 16, 64)
CONCENTRATIONS = (1e-3, 0.1, 1.0, 10.0, 300.0, 1e4)
CASES = pytest.mark.parametrize(("dim", "kappa"), list(itertools.product(DIMS, CONCENTRATIONS)))
FORMS = pytest.mark.parametrize("form", [VonMisesFisher, PowerSpherical])


def around(form, dim: int, kappa: float, dtype: torch.dtype = torch.float64):
    loc = torch.nn.functional.normalize(torch.linspace(1, -0.5, dim, dtype=dtype), dim=-1)
    return form(loc, torch.tensor(kappa, dtype=dtype))


def angle_log_density(form, dim: int, kappa: float, theta: np.ndarray) -> np.ndarray:
    """Unnormalised."""
    half = np.cos(theta / 2)
    body = kappa * (np.cos(theta) - 1) if form is VonMisesFisher else 2 * kappa * np.log(half)
    return body + (dim - 2) * np.log(np.sin(theta))


def fine_grid(form, dim: int, kappa: float) -> np.ndarray:
    """Angles that resolve the mass, without the end points."""
    theta = np.linspace(0, math.pi, 200_001)[1:-1]
    log_density = angle_log_density(form, dim, kappa, theta)
    mass = theta[log_density > log_density.max() - 45]
    step = theta[1] - theta[0]
    low, high = max(0.0, mass[0] - step), min(math.pi, mass[-1] + step)
    return np.linspace(low, high, 400_001)[1:-1]


def distribution_function(form, dim: int, kappa: float, theta: np.ndarray) -> np.ndarray:
    """At the points of a grid."""
    density = np.exp(angle_log_density(form, dim, kappa, theta))
    cumulated = scipy.integrate.cumulative_trapezoid(density, theta, initial=0)
    return cumulated / cumulated[-1]


@CASES
def test_bessel_functions_and_their_slopes_against_mpmath(dim: int, kappa: float):
    with mpmath.workdps(40):
        order = mpmath.mpf(dim) / 2 - 1
        ratio = mpmath.besseli(order + 1, kappa) / mpmath.besseli(order, kappa)
        log_scaled = float(mpmath.log(mpmath.besseli(order, kappa)) - kappa)
        slope = float(ratio + order / kappa - 1)
        ratio_slope = float(1 - ratio**2 - (2 * order + 1) / kappa * ratio)
        ratio = float(ratio)
    x = torch.tensor(kappa, dtype=torch.float64, requires_grad=True)
    log_bessel, ours = BesselI(dim / 2 - 1, x)()
    assert log_bessel.item() == pytest.approx(log_scaled, abs=1e-10)
    assert ours.item() == pytest.approx(ratio, rel=1e-12)
    assert torch.autograd.grad(log_bessel, x, retain_graph=True)[0].item() == pytest.approx(slope, rel=1e-11, abs=1e-12)
    assert torch.autograd.grad(ours, x)[0].item() == pytest.approx(ratio_slope, rel=1e-5)


@pytest.mark.parametrize("dim", DIMS)
def test_gradient_of_the_density_in_single_precision(dim: int):
    """By kappa it is mu'z - A(kappa), over seven decades of kappa."""
    kappa = torch.tensor([*CONCENTRATIONS], requires_grad=True)
    loc = torch.zeros(len(kappa), dim)
    loc[:, 0] = 1
    log_prob = VonMisesFisher(loc, kappa).log_prob(loc)
    assert torch.isfinite(log_prob).all()
    (gradient,) = torch.autograd.grad(log_prob.sum(), kappa)
    expected = [float(1 - mpmath.besseli(dim / 2, k) / mpmath.besseli(dim / 2 - 1, k)) for k in CONCENTRATIONS]
    torch.testing.assert_close(gradient, torch.tensor(expected), rtol=1e-4, atol=1e-7)


@FORMS
@CASES
def test_density_integrates_to_one(form, dim: int, kappa: float):
    q = around(form, dim, kappa)
    theta = fine_grid(form, dim, kappa)
    other = torch.zeros(dim, dtype=torch.float64)
    other[0] = 1
    tangent = torch.nn.functional.normalize(other - (other @ q.loc) * q.loc, dim=0)
    angle = torch.from_numpy(theta[::20]).unsqueeze(-1)
    log_density = q.log_prob(angle.cos() * q.loc + angle.sin() * tangent).numpy()
    # all points at one angle are a sphere of one dimension less
    share = np.exp(log_density + (dim - 2) * np.log(np.sin(theta[::20])) + log_area(dim - 1))
    assert scipy.integrate.trapezoid(share, theta[::20]) == pytest.approx(1.0, abs=2e-3)


@FORMS
@CASES
def test_draws_follow_the_density(form, dim: int, kappa: float):
    q = around(form, dim, kappa)
    z = q.sample(torch.Size((4000,)))
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(4000, dtype=torch.float64))
    angle = 2 * torch.asin((0.5 * (z - q.loc).norm(dim=-1)).clamp_max(1)).numpy()
    theta = fine_grid(form, dim, kappa)
    cumulated = distribution_function(form, dim, kappa, theta)
    assert scipy.stats.kstest(angle, lambda at: np.interp(at, theta, cumulated)).pvalue > 1e-4


@FORMS
@CASES
def test_derivative_of_the_angle_is_that_of_its_quantile(form, dim: int, kappa: float):
    q = around(form, dim, kappa)
    concentration = torch.full((200,), kappa, dtype=torch.float64)
    angle = q._draw_angle(concentration)
    ours = q._angle_slope(angle, concentration).numpy()
    theta, step = fine_grid(form, dim, kappa), 1e-3 * kappa
    up, down = (distribution_function(form, dim, kappa + change, theta) for change in (step, -step))
    density = np.gradient(distribution_function(form, dim, kappa, theta), theta)
    inside = (angle.numpy() > theta[50]) & (angle.numpy() < theta[-50])
    expected = np.interp(angle.numpy(), theta, -(up - down) / (2 * step) / np.maximum(density, 1e-300))
    scale = np.abs(ours).max()
    assert inside.mean() > 0.9
    # where the grid's own density is exact; its error is relative to the largest slope
    bulk = inside & (np.interp(angle.numpy(), theta, density) > 1e-3 * density.max())
    np.testing.assert_allclose(ours[bulk], expected[bulk], rtol=2e-3, atol=2e-3 * scale)


@FORMS
@pytest.mark.parametrize("dim", [2, 3, 8])
def test_reparametrised_gradient_of_the_mean(form, dim: int):
    """The mean vector is A(kappa) mu, so its gradients are known."""
    number = 40_000
    kappa = torch.full((number,), 4.0, dtype=torch.float64, requires_grad=True)
    loc = torch.zeros(number, dim, dtype=torch.float64)
    loc[:, 0] = 1
    loc.requires_grad_()
    z = form(loc, kappa).rsample()
    by_kappa, by_loc = torch.autograd.grad(z[:, 0].sum(), [kappa, loc], retain_graph=True)
    at = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
    length = form(torch.eye(dim, dtype=torch.float64)[0], at).mean[0]
    (expected,) = torch.autograd.grad(length, at)
    assert abs(by_kappa.mean() - expected) < 5 * by_kappa.std() / number**0.5
    # turning mu towards another axis turns the mean with it
    (sideways,) = torch.autograd.grad(z[:, 1].sum(), loc)
    assert abs(sideways[:, 1].mean() - length) < 5 * sideways[:, 1].std() / number**0.5
    assert torch.isfinite(by_loc).all()


@FORMS
def test_kl_to_the_uniform_distribution(form):
    for dim, kappa in itertools.product(DIMS, CONCENTRATIONS):
        q = around(form, dim, kappa)
        kl = closed_kl(q, UniformSphere(torch.zeros(dim, dtype=torch.float64)))
        z = q.sample(torch.Size((4000,)))
        ratio = q.log_prob(z) + log_area(dim)
        assert abs(ratio.mean() - kl) < 5 * ratio.std() / 4000**0.5 + 1e-9, (dim, kappa)
        assert kl > 0
    # kappa^2 / 2d is the first term of its series for von Mises-Fisher; small numbers survive the cancellation
    small = closed_kl(around(VonMisesFisher, 10, 1e-2), UniformSphere(torch.zeros(10, dtype=torch.float64)))
    assert small.item() == pytest.approx(1e-4 / 20, rel=1e-3)


@FORMS
@pytest.mark.parametrize("kappa", [1e-3, 1e4])
@pytest.mark.parametrize("dim", [2, 64])
def test_single_precision_is_finite_at_both_ends(form, dim: int, kappa: float):
    concentration = torch.full((500,), kappa, requires_grad=True)
    loc = torch.nn.functional.normalize(torch.randn(500, dim), dim=-1).requires_grad_()
    q = form(loc, concentration)
    z = q.rsample()
    assert z.dtype == torch.float32
    rate = closed_kl(q, UniformSphere(torch.zeros(dim)))
    loss = z.sum() + q.log_prob(z).sum() + rate.sum()
    for gradient in torch.autograd.grad(loss, [loc, concentration]):
        assert torch.isfinite(gradient).all()
    assert torch.isfinite(loss)


def test_a_concentration_that_is_not_a_number_does_not_hang():
    q = VonMisesFisher(torch.eye(3)[:1], torch.tensor([math.nan]))
    assert not torch.isfinite(q.log_prob(q.sample())).any()


def test_uniform_sphere():
    p = UniformSphere(torch.zeros(3))
    assert p.log_prob(torch.eye(3)).tolist() == pytest.approx([-math.log(4 * math.pi)] * 3)
    assert log_area(2) == pytest.approx(math.log(2 * math.pi))
    z = p.sample(torch.Size((5000,)))
    # Archimedes: each coordinate is uniform
    assert scipy.stats.kstest(z[:, 1].numpy(), "uniform", (-1, 2)).pvalue > 1e-3


def test_numbers_that_were_found_without_a_gradient_have_one_later():
    loc = torch.eye(4)[:1]
    concentration = torch.tensor([7.0], requires_grad=True)
    used, new = VonMisesFisher(loc, concentration), VonMisesFisher(loc, concentration)
    with torch.no_grad():
        assert not used.entropy().requires_grad
    found, expected = (torch.autograd.grad(q.entropy().sum(), concentration)[0] for q in (used, new))
    assert found == expected
    assert found < 0
