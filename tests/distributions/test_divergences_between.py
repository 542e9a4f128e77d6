"""Each closed-form KL against Monte Carlo, for all pairs that have one."""

from __future__ import annotations

import itertools

import pytest
import torch

from distributions.examples import INSTANCES, make
from vaelab.distributions import DiagonalNormal, Mixture, StandardNormal, closed_kl

DRAWS = 20_000


def pairs() -> list[tuple[str, str]]:
    """The pairs of instances, of one event shape, for which a closed form is registered."""
    found = []
    made = {name: make(name) for name in INSTANCES}
    for one, two in itertools.product(INSTANCES, repeat=2):
        q, p = made[one], made[two]
        if q.event_shape == p.event_shape and closed_kl(q, p) is not None:
            found.append((one, two))
    return found


PAIRS = pairs()


def test_the_known_pairs_are_found():
    assert {
        ("diagonal_normal", "standard_normal"),
        ("diagonal_normal", "negative_scale"),
        ("negative_scale", "diagonal_normal"),
        ("standard_normal_map", "diagonal_normal_map"),
        ("quantised_codes", "uniform_codes"),
    } <= set(PAIRS)


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_closed_form_agrees_with_monte_carlo(one: str, two: str):
    q, p = make(one), make(two)
    closed = closed_kl(q, p)
    assert closed is not None
    assert closed.shape == q.batch_shape
    z = q.sample(torch.Size((DRAWS,)))
    ratio = q.log_prob(z) - p.log_prob(z)
    error = ratio.std(0) / DRAWS**0.5
    assert ((ratio.mean(0) - closed).abs() <= 5 * error + 1e-9).all(), (closed, ratio.mean(0), error)
    assert (closed >= -1e-12).all()


@pytest.mark.parametrize("name", ["diagonal_normal", "negative_scale", "standard_normal", "diagonal_normal_map"])
def test_a_distribution_has_no_divergence_from_itself(name: str):
    kl = closed_kl(make(name), make(name))
    assert kl is not None
    torch.testing.assert_close(kl, torch.zeros_like(kl))


def test_the_shorter_form_for_a_standard_normal_is_the_general_one():
    q = make("diagonal_normal")
    zeros = torch.zeros_like(q.mean)
    general = closed_kl(q, DiagonalNormal.from_log_scale(zeros, zeros))
    torch.testing.assert_close(closed_kl(q, StandardNormal(zeros)), general)
    p = make("diagonal_normal")
    torch.testing.assert_close(
        closed_kl(StandardNormal(zeros), p), closed_kl(DiagonalNormal.from_log_scale(zeros, zeros), p)
    )


def test_none_where_there_is_no_closed_form():
    q, p = make("diagonal_normal"), make("mixture")
    assert closed_kl(q, p) is None
    assert closed_kl(q, p) is None, "the second question is answered from memory"
    assert closed_kl(p, q) is None


def test_a_registered_form_is_found_after_it_was_asked_for():
    """A plugin may register a KL for a pair that was met before."""

    class Odd(Mixture):
        pass

    q = make("diagonal_normal")
    mixed = make("mixture")
    p = Odd(mixed.components, mixed.logits)
    assert closed_kl(q, p) is None

    torch.distributions.register_kl(DiagonalNormal, Odd)(lambda one, two: one.mean.new_full(one.batch_shape, 7.0))
    found = closed_kl(q, p)
    assert found is not None
    assert (found == 7.0).all()


def test_prior_without_batch_broadcasts_against_the_posterior():
    q = make("diagonal_normal")
    p = StandardNormal(torch.zeros(4, dtype=torch.float64))
    kl = closed_kl(q, p)
    assert kl is not None
    assert kl.shape == q.batch_shape
    unbatched = DiagonalNormal.from_log_scale(torch.ones(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64))
    other = closed_kl(q, unbatched)
    assert other is not None
    torch.testing.assert_close(other, closed_kl(q, unbatched.expand(q.batch_shape)))
