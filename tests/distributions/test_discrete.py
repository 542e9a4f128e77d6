"""One-hot vectors and bits: densities by enumeration, exact draws, and how far relaxed gradients are off."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor
from torch import distributions as td

from vaelab.distributions import Bits, OneHot, RelaxedBits, RelaxedOneHot, closed_kl

EYE = torch.eye(3, dtype=torch.float64)
#: Every value of two variables of three classes, `[9, 2, 3]`, and of three bits, `[8, 3]`.
CORNERS = torch.stack([torch.stack(pair) for pair in itertools.product(EYE, repeat=2)])
BITS = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=torch.float64)


def test_one_hot_against_torch_and_enumeration():
    ours = OneHot(torch.randn(5, 2, 3, dtype=torch.float64))
    reference = td.Independent(td.OneHotCategorical(logits=ours.logits), 1)
    values = CORNERS.unsqueeze(1)
    torch.testing.assert_close(ours.log_prob(values), reference.log_prob(values.expand(9, 5, 2, 3)))
    torch.testing.assert_close(ours.log_prob(values).exp().sum(0), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(ours.entropy(), reference.entropy())
    torch.testing.assert_close(ours.mean, reference.mean)
    torch.testing.assert_close(ours.variance, reference.variance)
    assert (ours.log_prob(ours.mode) >= ours.log_prob(values)).all()
    assert torch.equal(ours.centre, ours.mode)


def test_bits_against_torch_and_enumeration():
    ours = Bits(3 * torch.randn(5, 3, dtype=torch.float64))
    reference = td.Independent(td.Bernoulli(logits=ours.logits), 1)
    values = BITS.unsqueeze(1)
    torch.testing.assert_close(ours.log_prob(values), reference.log_prob(values.expand(8, 5, 3)))
    torch.testing.assert_close(ours.log_prob(values).exp().sum(0), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(ours.entropy(), reference.entropy())
    torch.testing.assert_close(ours.variance, reference.variance)
    assert (ours.log_prob(ours.mode) >= ours.log_prob(values)).all()
    assert torch.equal(ours.centre, ours.mode)


def test_bits_far_out_stay_finite():
    logits = torch.tensor([-200.0, 200.0], requires_grad=True)
    q = Bits(logits)
    terms = torch.stack([q.log_prob(torch.tensor([1.0, 0.0])), q.entropy(), closed_kl(q, Bits(torch.zeros(2)))])
    torch.testing.assert_close(terms, torch.tensor([-400.0, 0.0, 2 * np.log(2.0)], dtype=torch.float32))
    terms.sum().backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("cls", [OneHot, RelaxedOneHot])
def test_closed_kl_of_one_hot_by_enumeration(cls: type[OneHot]):
    q, p = cls(torch.randn(5, 2, 3, dtype=torch.float64)), OneHot(torch.randn(2, 3, dtype=torch.float64))
    values = CORNERS.unsqueeze(1)
    exact = (q.log_prob(values).exp() * (q.log_prob(values) - p.log_prob(values))).sum(0)
    torch.testing.assert_close(closed_kl(q, p), exact)


@pytest.mark.parametrize("cls", [Bits, RelaxedBits])
def test_closed_kl_of_bits_by_enumeration(cls: type[Bits]):
    q, p = cls(2 * torch.randn(5, 3, dtype=torch.float64)), Bits(torch.randn(3, dtype=torch.float64))
    values = BITS.unsqueeze(1)
    exact = (q.log_prob(values).exp() * (q.log_prob(values) - p.log_prob(values))).sum(0)
    torch.testing.assert_close(closed_kl(q, p), exact)


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("family", ["one_hot", "bits"])
def test_draws_are_exact(family: str, relaxed: bool):
    torch.manual_seed(3)
    q: OneHot | Bits
    if family == "one_hot":
        logits, values = torch.randn(2, 3, dtype=torch.float64), CORNERS
        # straight-through draws with a gradient are exact too
        q = RelaxedOneHot(logits, 2, 0.7, straight_through=True) if relaxed else OneHot(logits)
    else:
        logits, values = torch.randn(3, dtype=torch.float64), BITS
        q = RelaxedBits(logits, 1, 0.7, straight_through=True) if relaxed else Bits(logits)
    draws = (q.rsample if relaxed else q.sample)(torch.Size((20_000,)))
    hits = (draws.unsqueeze(1) == values).flatten(2).all(2)
    assert hits.sum(1).eq(1).all(), "each draw is exactly one of the values"
    assert scipy.stats.chisquare(hits.sum(0).numpy(), 20_000 * q.log_prob(values).exp().numpy()).pvalue > 1e-3


def test_relaxed_draws_are_inside_and_sample_is_exact():
    q = RelaxedOneHot(torch.randn(2, 3, dtype=torch.float64), 2, 0.7)
    draws = q.rsample(torch.Size((100,)))
    torch.testing.assert_close(draws.sum(-1), torch.ones(100, 2, dtype=torch.float64))
    assert draws.max() < 1
    assert set(q.sample(torch.Size((100,))).unique().tolist()) == {0.0, 1.0}
    bits = RelaxedBits(torch.randn(3, dtype=torch.float64), 1, 0.7)
    assert 0 < bits.rsample().min() < bits.rsample().max() < 1
    assert set(bits.sample(torch.Size((100,))).unique().tolist()) == {0.0, 1.0}


def test_relaxed_density_is_the_concrete():
    """The draws follow torch's relaxed distributions, of which ours is the reparametrised draw alone."""
    torch.manual_seed(4)
    logits = torch.tensor([0.3, -0.8, 0.1], dtype=torch.float64)
    ours = RelaxedOneHot(logits, 1, 0.6).rsample(torch.Size((4000,)))
    reference = td.RelaxedOneHotCategorical(torch.tensor(0.6, dtype=torch.float64), logits=logits)
    theirs = reference.rsample(torch.Size((4000,)))
    for axis in range(3):
        assert scipy.stats.ks_2samp(ours[:, axis].numpy(), theirs[:, axis].numpy()).pvalue > 1e-3
    one = RelaxedBits(torch.tensor([0.4], dtype=torch.float64), 1, 0.6).rsample(torch.Size((4000,))).squeeze(1)
    # the distribution function of the binary concrete in closed form
    cdf = lambda z: 1 / (1 + np.exp(-(0.6 * np.log(z / (1 - z)) - 0.4)))  # noqa: E731
    assert scipy.stats.kstest(one.numpy(), cdf).pvalue > 1e-3


@pytest.mark.parametrize("family", ["one_hot", "bits"])
def test_straight_through_has_the_gradient_of_the_relaxed_draw_at_the_exact_value(family: str):
    def draw(logits: Tensor, straight_through: bool) -> Tensor:
        torch.manual_seed(8)
        cls = RelaxedOneHot if family == "one_hot" else RelaxedBits
        return cls(logits, 1, 0.7, straight_through).rsample(torch.Size((50,)))

    logits = torch.randn(3, dtype=torch.float64, requires_grad=True)
    exact, soft = draw(logits, True), draw(logits, False)
    if family == "one_hot":
        assert torch.equal(exact.argmax(-1), soft.argmax(-1))
    else:
        assert torch.equal(exact, soft.round())
    weight = torch.linspace(1, 2, exact.numel(), dtype=torch.float64).reshape(exact.shape)
    (gradient,) = torch.autograd.grad((weight * exact.square()).sum(), logits)
    (expected,) = torch.autograd.grad(soft, logits, 2 * weight * exact.detach())
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("straight_through", [False, True])
def test_bias_of_relaxed_gradients_shrinks_with_the_temperature(straight_through: bool):
    """Against the exact gradient by enumeration; the sizes are those that the docstring of RelaxedOneHot states."""
    stated = {1.0: (0.391, 0.318), 0.5: (0.215, 0.172), 0.25: (0.096, 0.080), 0.1: (0.037, 0.031)}
    errors: dict[float, list[float]] = {temperature: [] for temperature in stated}
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        a, b, start = (torch.randn(*s, generator=generator).double() for s in ((3, 3), (3,), (3,)))

        def score(z: Tensor, a: Tensor = a, b: Tensor = b) -> Tensor:
            return torch.einsum("...i,ij,...j->...", z, a, z) + z @ b

        exact_at = start.clone().requires_grad_()
        (exact,) = torch.autograd.grad((exact_at.softmax(-1) * score(EYE)).sum(), exact_at)
        for temperature in stated:
            torch.manual_seed(seed)
            logits = start.clone().requires_grad_()
            draws = RelaxedOneHot(logits, 1, temperature, straight_through).rsample(torch.Size((50_000,)))
            (mean,) = torch.autograd.grad(score(draws).mean(), logits)
            errors[temperature].append(float((mean - exact).norm() / exact.norm()))
    middle = {temperature: sorted(values)[4] for temperature, values in errors.items()}
    for temperature, expected in stated.items():
        assert middle[temperature] == pytest.approx(expected[straight_through], abs=0.03)


@pytest.mark.parametrize("straight_through", [False, True])
@pytest.mark.parametrize(("temperature", "stated"), [(1.0, 0.0167), (0.5, 0.0215), (0.25, 0.0240)])
def test_bias_of_relaxed_bits_by_quadrature(temperature: float, stated: float, straight_through: bool):
    """The mean gradient of f(z) = (z - 0.45)^2, whose exact value is 0.025, as an integral over the noise."""
    cut = 0.5

    def integrand(u: float) -> float:
        noise = np.log(u / (1 - u))
        soft = 1 / (1 + np.exp(-noise / temperature))
        at = float(u > cut) if straight_through else soft
        return 2 * (at - 0.45) * soft * (1 - soft) / temperature

    expected = sum(scipy.integrate.quad(integrand, *ends)[0] for ends in ((0, cut), (cut, 1)))
    assert expected == pytest.approx(stated, abs=2e-4)
    torch.manual_seed(0)
    logits = torch.zeros(200_000, dtype=torch.float64, requires_grad=True)
    z = RelaxedBits(logits, 1, temperature, straight_through).rsample()
    (each,) = torch.autograd.grad((z - 0.45).square().sum(), logits)
    assert abs(each.mean() - expected) < 5 * each.std() / 200_000**0.5
