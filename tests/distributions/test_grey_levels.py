"""Probabilities of grey levels: they sum to one, are differences of distribution functions, and are drawn from."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import distributions as td

from distributions.examples import (
    categorical_levels,
    discretised_logistic,
)
from vaelab.distributions import (
    CategoricalLevels,
    DiscretisedLogistic,
    LogisticMixture,
)

EVENTS = pytest.mark.parametrize("event", [(4,), (2, 3, 2)], ids=["vector", "map"])


def scalar(*values: float) -> list[torch.Tensor]:
    return [torch.tensor([value], dtype=torch.float64) for value in values]


@EVENTS
def test_categorical_against_torch(event: tuple[int, ...]):
    ours = categorical_levels(*event)
    index = torch.randint(5, (*ours.batch_shape, *event))
    reference = td.Independent(td.Categorical(logits=ours.logits), len(event))
    torch.testing.assert_close(ours.log_prob(index.double() / 4), reference.log_prob(index))
    # one datum scored by every sample of the parameters, as in a pass
    torch.testing.assert_close(ours.log_prob(index[:1].double() / 4)[1], reference.log_prob(index[:1])[1])


@pytest.mark.parametrize("log_scale", [-14.0, -6.0, -2.0, 0.0, 3.0])
@pytest.mark.parametrize("loc", [-3.0, -0.01, 0.0, 0.37, 0.5, 1.0, 9.0])
def test_discretised_logistic_sums_to_one_and_is_a_difference_of_distribution_functions(loc: float, log_scale: float):
    levels = 16
    density = DiscretisedLogistic(*scalar(loc, log_scale), levels)
    grid = torch.arange(levels, dtype=torch.float64) / (levels - 1)
    mass = density.log_prob(grid.unsqueeze(-1)).exp()
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-10)
    edges = np.concatenate([[-np.inf], (np.arange(1, levels) - 0.5) / (levels - 1), [np.inf]])
    cdf = scipy.stats.logistic.cdf(edges, loc, math.exp(log_scale))
    np.testing.assert_allclose(mass.numpy(), np.diff(cdf), atol=1e-12)
    assert (mass * grid).sum().item() == pytest.approx(density.mean.item(), abs=1e-10)


@pytest.mark.parametrize("loc", [-20.0, 0.4, 30.0])
@pytest.mark.parametrize("log_scale", [-12.0, -3.0, 6.0])
def test_discretised_logistic_has_finite_gradients_in_single_precision(loc: float, log_scale: float):
    parameters = torch.tensor([[loc], [log_scale]]).requires_grad_()
    grid = (torch.arange(256) / 255).unsqueeze(-1)
    log_prob = DiscretisedLogistic(parameters[0], parameters[1]).log_prob(grid)
    log_prob.sum().backward()
    assert torch.isfinite(log_prob).all()
    assert parameters.grad is not None
    assert torch.isfinite(parameters.grad).all()


def test_discretised_logistic_draws_have_their_frequencies():
    ours = discretised_logistic(1)
    grid = (torch.arange(8, dtype=torch.float64) / 7).unsqueeze(-1)
    draws = ours.sample(torch.Size((5000,)))[:, 0, 0, 0]
    expected = ours.map(lambda tensor, n: tensor[0, 0]).log_prob(grid).exp().numpy()
    counts = np.bincount((draws * 7).round().long().numpy(), minlength=8)
    likely = expected * 5000 > 5
    assert abs(counts - 5000 * expected)[likely].max() < 5 * np.sqrt(5000 * expected[likely]).max()
    assert (
        scipy.stats.chisquare(counts[likely], counts[likely].sum() * expected[likely] / expected[likely].sum()).pvalue
        > 1e-3
    )


def test_mixture_of_one_component_is_the_discretised_logistic():
    loc, log_scale = torch.rand(2, 1, 3, 4, 4, dtype=torch.float64), torch.randn(2, 1, 3, 4, 4, dtype=torch.float64) - 3
    slopes = torch.zeros(2, 1, 3, 4, 4, dtype=torch.float64)
    mixture = LogisticMixture(torch.zeros(2, 1, 4, 4, dtype=torch.float64), loc, log_scale, slopes)
    plain = DiscretisedLogistic(loc[:, 0], log_scale[:, 0], event_ndim=3)
    x = torch.randint(256, (2, 3, 4, 4)).double() / 255
    torch.testing.assert_close(mixture.log_prob(x), plain.log_prob(x))


def test_mixture_of_coloured_pixels_sums_to_one():
    """Over all 4^3 colours of a pixel: the regression on earlier channels keeps the distribution one."""
    levels = 4
    m = (1, 5, 3, 1, 1)
    logits, loc, log_scale, slopes = (
        torch.randn(1, 5, 1, 1, dtype=torch.float64),
        0.5 + torch.randn(*m, dtype=torch.float64),
        torch.randn(*m, dtype=torch.float64) - 1,
        torch.randn(*m, dtype=torch.float64),
    )
    grid = torch.arange(levels, dtype=torch.float64) / (levels - 1)
    colours = torch.cartesian_prod(grid, grid, grid).reshape(-1, 3, 1, 1)
    mixture = LogisticMixture(logits, loc, log_scale, slopes, levels)
    mass = mixture.log_prob(colours).exp()
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-10)
    # by hand, for the last colour: one component a pixel, each channel shifted by those before it
    by_hand = 0.0
    for k, weight in enumerate(logits[0, :, 0, 0].softmax(0)):
        term = weight
        r, g, _ = colour = colours[-9, :, 0, 0]
        shifts = (
            0.0,
            slopes[0, k, 0, 0, 0] * (r - 0.5),
            slopes[0, k, 1, 0, 0] * (r - 0.5) + slopes[0, k, 2, 0, 0] * (g - 0.5),
        )
        for c in range(3):
            one = DiscretisedLogistic(loc[:, k, c, 0, 0] + shifts[c], log_scale[:, k, c, 0, 0], levels)
            term = term * one.log_prob(colour[c].reshape(1)).exp()
        by_hand = by_hand + term
    assert by_hand.item() == pytest.approx(mass[-9].item(), rel=1e-10)
    # and the draws have these frequencies
    draws = mixture.sample(torch.Size((4000,)))[:, 0, :, 0, 0]
    index = ((draws * 3).round() @ torch.tensor([16.0, 4.0, 1.0], dtype=torch.float64)).long()
    counts, expected = np.bincount(index.numpy(), minlength=64), 4000 * mass.numpy()
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected) + 3).all()


def test_levels_between_two_are_rounded():
    logits = torch.randn(4, 5, dtype=torch.float64)
    one, two = CategoricalLevels(logits, 0), DiscretisedLogistic(*scalar(0.4, -1.0), 5, 0)
    at, near = torch.tensor(0.25, dtype=torch.float64), torch.tensor(0.28, dtype=torch.float64)
    for density in (one, two):
        assert torch.equal(density.log_prob(at), density.log_prob(near))
