"""Densities of the observed components alone."""

from __future__ import annotations

import pytest
import torch
from torch import distributions as td

from distributions.examples import (
    INSTANCES,
    logistic_mixture,
    make,
)
from vaelab.distributions import (
    Distribution,
    LogisticMixture,
    event_sum,
)
from vaelab.distributions.normal import OptimalScaleNormal


@pytest.mark.parametrize("name", [n for n in INSTANCES if n not in {"optimal_scale"}])
def test_observed_components_alone_are_scored(name: str):
    """Where components are independent, the density of some is the sum of their terms; elsewhere it is refused."""
    density = make(name)
    cls = type(density)
    if cls.log_prob_terms is Distribution.log_prob_terms and cls.log_prob_where is Distribution.log_prob_where:
        with pytest.raises(NotImplementedError, match=type(density).__name__):
            density.log_prob_where(torch.zeros(density.event_shape), torch.ones(density.event_shape, dtype=torch.bool))
        return
    value = density.sample()
    everything = torch.ones_like(value, dtype=torch.bool)
    torch.testing.assert_close(density.log_prob_where(value, everything), density.log_prob(value))
    assert torch.count_nonzero(density.log_prob_where(value, ~everything)) == 0
    half = torch.rand_like(value) < 0.5
    if isinstance(density, LogisticMixture):
        half = half[..., :1, :, :].expand_as(value)  # whole pixels
    split = density.log_prob_where(value, half) + density.log_prob_where(value, ~half)
    torch.testing.assert_close(split, density.log_prob(value))
    # what was not observed does not matter
    other = torch.where(half, value, 1 - value)
    torch.testing.assert_close(density.log_prob_where(other, half), density.log_prob_where(value, half))


def test_single_channels_of_a_mixture_cannot_be_left_out():
    mixture = logistic_mixture(3)
    value = mixture.sample()
    observed = torch.ones_like(value, dtype=torch.bool)
    observed[..., 0, :, :] = False
    with pytest.raises(NotImplementedError, match="whole pixels"):
        mixture.log_prob_where(value, observed)


def test_optimal_scale_is_fitted_to_what_was_observed():
    loc = torch.randn(1, 5, 4, dtype=torch.float64)
    value = loc + torch.randn_like(loc)
    observed = torch.rand_like(loc) < 0.6
    seen: list[torch.Tensor] = []
    ours = OptimalScaleNormal(loc, 1, torch.zeros(()), seen.append)
    log_prob = ours.log_prob_where(torch.where(observed, value, 99.0), observed)
    sigma = (value - loc)[observed].square().mean().sqrt()
    terms = td.Normal(loc, sigma).log_prob(value).masked_fill(~observed, 0.0)
    torch.testing.assert_close(seen[0], sigma.log())
    torch.testing.assert_close(log_prob, event_sum(terms, 1))
