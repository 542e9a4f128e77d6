"""Densities of pixels against scipy and torch, and by quadrature."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from distributions.examples import (
    beta,
    laplace,
    make,
    student_t,
)
from vaelab.distributions import (
    Beta,
    Laplace,
    LogCosh,
    StudentT,
)

EVENTS = pytest.mark.parametrize("event", [(4,), (2, 3, 2)], ids=["vector", "map"])


def scalar(*values: float) -> list[torch.Tensor]:
    return [torch.tensor([value], dtype=torch.float64) for value in values]


@EVENTS
def test_laplace_against_scipy(event: tuple[int, ...]):
    ours = laplace(*event)
    value = torch.randn(7, *ours.batch_shape, *event, dtype=torch.float64)
    expected = scipy.stats.laplace.logpdf(value.numpy(), ours.loc.numpy(), ours.log_scale.exp().numpy())
    np.testing.assert_allclose(ours.log_prob(value).numpy(), expected.sum(tuple(range(-len(event), 0))), rtol=1e-12)
    np.testing.assert_allclose(ours.variance.numpy(), 2 * ours.log_scale.exp().numpy() ** 2)


@EVENTS
def test_student_t_against_scipy(event: tuple[int, ...]):
    ours = student_t(*event)
    value = 3 * torch.randn(7, *ours.batch_shape, *event, dtype=torch.float64)
    expected = scipy.stats.t.logpdf(value.numpy(), ours.df.numpy(), ours.loc.numpy(), ours.log_scale.exp().numpy())
    np.testing.assert_allclose(ours.log_prob(value).numpy(), expected.sum(tuple(range(-len(event), 0))), rtol=1e-10)


@EVENTS
def test_beta_is_scipy_s_of_the_squeezed_value(event: tuple[int, ...]):
    ours = beta(*event)
    value = torch.randint(16, (7, *ours.batch_shape, *event)).double() / 15  # both ends occur
    squeezed = (15 * value.numpy() + 0.5) / 16
    expected = scipy.stats.beta.logpdf(squeezed, ours.alpha.numpy(), ours.beta.numpy()) + math.log(15 / 16)
    np.testing.assert_allclose(ours.log_prob(value).numpy(), expected.sum(tuple(range(-len(event), 0))), rtol=1e-10)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 10.0, 100.0])
def test_log_cosh_integrates_to_one(sharpness: float):
    density = LogCosh(torch.tensor([0.7], dtype=torch.float64), sharpness)

    def pdf(x: float) -> float:
        return density.log_prob(torch.tensor([x], dtype=torch.float64)).exp().item()

    edges = [-300.0, -30.0, -3.0, 0.5, 0.7, 0.9, 4.0, 30.0, 300.0]
    mass = sum(scipy.integrate.quad(pdf, a, b, limit=200)[0] for a, b in itertools.pairwise(edges))
    assert mass == pytest.approx(1.0, abs=1e-8)


def test_log_cosh_is_the_loss_of_the_paper_up_to_a_constant():
    loc = torch.zeros(4, dtype=torch.float64)
    value = torch.tensor([0.1, -0.5, 3.0, 40.0], dtype=torch.float64)
    ours = LogCosh(loc, 10.0, event_ndim=0)
    loss = torch.log(torch.cosh(10 * value)) / 10
    torch.testing.assert_close(ours.log_prob(loc) - ours.log_prob(value), loss)


@pytest.mark.parametrize("sharpness", [0.5, 10.0])
def test_log_cosh_draws_follow_the_density(sharpness: float):
    ours = LogCosh(torch.zeros(1, dtype=torch.float64), sharpness)
    grid = torch.linspace(-40, 40, 400_001, dtype=torch.float64).unsqueeze(-1)
    cdf = np.cumsum(ours.log_prob(grid).exp().numpy()) * (80 / 400_000)
    draws = ours.sample(torch.Size((5000,))).squeeze(-1).numpy()
    assert scipy.stats.kstest(draws, lambda x: np.interp(x, grid.squeeze(-1).numpy(), cdf)).pvalue > 1e-3


@pytest.mark.parametrize(
    ("density", "reference"),
    [
        (Laplace(*scalar(0.3, -0.5)), scipy.stats.laplace(0.3, math.exp(-0.5)).cdf),
        (StudentT(*scalar(0.3, -0.5, 2.5)), scipy.stats.t(2.5, 0.3, math.exp(-0.5)).cdf),
        (Beta(*scalar(0.4, 2.0), 256), lambda x: scipy.stats.beta(0.4, 2.0).cdf((255 * x + 0.5) / 256)),
    ],
    ids=["laplace", "student_t", "beta"],
)
def test_draws_follow_the_density(density, reference):
    draws = density.sample(torch.Size((5000,))).squeeze(-1).numpy()
    assert scipy.stats.kstest(draws, reference).pvalue > 1e-3


@pytest.mark.parametrize("name", ["laplace", "log_cosh", "student_t", "beta"])
def test_draws_carry_a_gradient_of_every_parameter(name: str):
    leaves: list[torch.Tensor] = []

    def leaf(tensor: torch.Tensor, n: int) -> torch.Tensor:
        leaves.append(tensor.clone().requires_grad_())
        return leaves[-1]

    make(name).map(leaf).rsample().square().sum().backward()
    assert all(tensor.grad is not None and tensor.grad.abs().min() > 0 for tensor in leaves)
