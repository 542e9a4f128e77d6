"""Codes that are drawn one after another: by enumeration of all sequences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from vaelab.distributions import AutoregressiveCodes, QuantisedCodes, closed_kl, nearest_codes, straight_through
from vaelab.nets.code_gru import CodeGRU

CODES = 3
POSITIONS = pytest.mark.parametrize("positions", [(4,), (2, 2)], ids=["row", "map"])
BOOK = torch.randn(CODES, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
#: All sequences of four codes, `[81, 4]`.
ALL = torch.tensor(list(itertools.product(range(CODES), repeat=4)))


def network(positions: tuple[int, ...]) -> CodeGRU:
    torch.manual_seed(0)
    made = CodeGRU(CODES, positions, 6, 2).double()
    with torch.no_grad():  # far from uniform
        for parameter in made.parameters():
            parameter.mul_(3)
    return made


def prior(positions: tuple[int, ...]) -> AutoregressiveCodes:
    axis = -1 - len(positions)
    return AutoregressiveCodes(
        (),
        (5, *positions),
        network(positions),
        lambda index: BOOK[index].movedim(-1, axis),
        lambda z: nearest_codes(BOOK, z.movedim(axis, -1)),
    )


@POSITIONS
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_probabilities_sum_to_one_and_draws_follow_them(positions: tuple[int, ...], temperature: float):
    p = prior(positions).tempered(temperature)
    z = p.lookup(ALL.reshape(-1, *positions))
    assert z.shape == (81, 5, *positions)
    probability = p.log_prob(z).exp()
    torch.testing.assert_close(probability.sum(), torch.ones((), dtype=torch.float64))
    assert probability.max() > 3 * probability.min(), "a uniform distribution would tell nothing"
    draws = p.sample(torch.Size((20_000,)))
    index = p.find(draws).flatten(1) @ torch.tensor([27, 9, 3, 1])
    counts = np.bincount(index.numpy(), minlength=81)
    keep = (20_000 * probability > 5).numpy()
    observed = np.append(counts[keep], counts[~keep].sum())
    expected = 20_000 * np.append(probability.detach().numpy()[keep], probability.detach().numpy()[~keep].sum())
    assert scipy.stats.chisquare(observed[expected > 0], expected[expected > 0]).pvalue > 1e-3


@POSITIONS
def test_each_step_sees_what_comes_before_it_and_no_more(positions: tuple[int, ...]):
    net = network(positions)
    logits = net(ALL)
    for n in range(4):
        changed = ALL.clone()
        changed[:, n] = (changed[:, n] + 1) % CODES
        difference = (net(changed) - logits).abs().amax((0, 2))
        assert difference[: n + 1].max() == 0
        assert n == 3 or difference[n + 1 :].min() > 0
    # the step-by-step network of sampling is the one that scores
    torch.manual_seed(3)
    drawn = net.sample(50)
    inputs = torch.cat([net._inputs(drawn, n, n + 1) for n in range(4)], 1)
    torch.testing.assert_close(inputs, net._inputs(drawn, 0, 4))


def test_low_temperature_divides_the_logits_of_each_step():
    net = network((4,))
    expected = (net(ALL) / 0.5).log_softmax(-1).gather(2, ALL.unsqueeze(2)).sum((1, 2))
    torch.testing.assert_close(net.log_prob(ALL, 0.5), expected)


@POSITIONS
def test_divergence_from_a_certain_choice(positions: tuple[int, ...]):
    p = prior(positions)
    index = ALL[torch.randint(81, (2, 3))].reshape(2, 3, *positions)
    q = QuantisedCodes(p.lookup(index), index, None, len(positions))
    rate = closed_kl(q, p)
    assert rate is not None
    torch.testing.assert_close(rate, -p.log_prob(q.z))
    rate.sum().backward()
    assert all(parameter.grad is not None for parameter in p.network.parameters())
    assert not p.detached().log_prob(q.z).requires_grad


def test_parts_of_a_large_set_are_scored_alike(monkeypatch: pytest.MonkeyPatch):
    net = network((2, 2))
    whole = net.log_prob(ALL)
    monkeypatch.setattr("vaelab.nets.code_gru._MOST_LOGITS", 100)
    torch.testing.assert_close(net.log_prob(ALL), whole)
    vectors = torch.randn(7, 11, 5, dtype=torch.float64)
    found = nearest_codes(BOOK, vectors)
    monkeypatch.setattr("vaelab.distributions.codes._MOST_DISTANCES", 10)
    assert torch.equal(nearest_codes(BOOK, vectors), found)
    assert torch.equal(found, (vectors.unsqueeze(-2) - BOOK).square().sum(-1).argmin(-1))


def test_straight_through_is_exact_in_value_and_the_identity_in_gradient():
    like = (1e3 * torch.randn(50)).requires_grad_()
    value = torch.randn(50).requires_grad_()
    result = straight_through(value, like)
    assert torch.equal(result, value)
    weight: Tensor = torch.randn(50)
    (weight * result).sum().backward()
    assert torch.equal(like.grad, weight)
    assert value.grad is None
