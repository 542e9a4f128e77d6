"""Densities against scipy, torch and quadrature."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import distributions as td

from distributions.examples import BOOK, diagonal_normal, lookup, mixture, negative_scale, standard_normal
from vaelab.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    DiagonalNormal,
    Distribution,
    Mixture,
    QuantisedCodes,
    UniformCodes,
    closed_kl,
)
from vaelab.distributions.normal import OptimalScaleNormal

EVENTS = pytest.mark.parametrize("event", [(4,), (2, 3, 2)], ids=["vector", "map"])

#: Both sides of where the series takes over (0.3), and where a naive form overflows.
SIZES = (1e-9, 1e-4, 0.0009, 0.0011, 0.1, 0.299, 0.3, 0.301, 1.0, 5.0, 20.0, 60.0)
LOGITS = [0.0, *SIZES, *(-size for size in SIZES)]


@EVENTS
@pytest.mark.parametrize("make", [diagonal_normal, negative_scale, standard_normal])
def test_normals_against_scipy(make, event: tuple[int, ...]):
    normal = make(*event)
    value = torch.randn(7, *normal.batch_shape, *event, dtype=torch.float64)
    expected = scipy.stats.norm.logpdf(value.numpy(), normal.loc.numpy(), normal.scale.abs().numpy())
    axes = tuple(range(-len(event), 0))
    np.testing.assert_allclose(normal.log_prob(value).numpy(), expected.sum(axes), rtol=1e-12)
    entropy = scipy.stats.norm.entropy(normal.loc.numpy(), normal.scale.abs().numpy()).sum(axes)
    np.testing.assert_allclose(normal.entropy().numpy(), entropy, rtol=1e-12)
    np.testing.assert_allclose(normal.variance.numpy(), normal.scale.numpy() ** 2)


@pytest.mark.parametrize("make", [diagonal_normal, negative_scale, standard_normal])
def test_normal_draws_follow_the_density(make):
    normal = make(2)
    draws = normal.sample(torch.Size((5000,)))[:, 0, 0, 1].numpy()
    loc, scale = normal.loc[0, 0, 1].item(), normal.scale[0, 0, 1].abs().item()
    assert scipy.stats.kstest(draws, "norm", (loc, scale)).pvalue > 1e-3


def test_normal_draws_carry_the_pathwise_gradient():
    loc = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    log_scale = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    z = DiagonalNormal.from_log_scale(loc, log_scale).rsample()
    z.sum().backward()
    torch.testing.assert_close(loc.grad, torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(log_scale.grad, z.detach())  # dz / dlog(sigma) = sigma * noise, and loc is 0


@EVENTS
def test_mixture_against_torch(event: tuple[int, ...]):
    ours = mixture(*event)
    components = td.Independent(td.Normal(ours.components.loc, ours.components.scale), len(event))
    logits = ours.logits.expand(*ours.batch_shape, -1)
    reference = td.MixtureSameFamily(td.Categorical(logits=logits), components)
    value = torch.randn(7, *ours.batch_shape, *event, dtype=torch.float64)
    torch.testing.assert_close(ours.log_prob(value), reference.log_prob(value))
    torch.testing.assert_close(ours.mean, reference.mean)


@EVENTS
@pytest.mark.parametrize("scale", [1e-3, 0.1, 10.0])
def test_densities_under_each_component_by_matrix_products(event: tuple[int, ...], scale: float):
    loc, log_scale = 3 * torch.randn(6, *event), math.log(scale) + 0.5 * torch.randn(6, *event)
    components = DiagonalNormal.from_log_scale(loc, log_scale, len(event))
    # a draw of each, whose own component decides the mixture, and points far from all
    value = torch.cat([components.sample(), 3 * torch.randn(2, *event)]).unsqueeze(0).requires_grad_()
    each = components.log_prob_of_each(value)
    assert each.shape == (1, 8, 6)
    plain = td.Independent(td.Normal(loc.double(), log_scale.double().exp()), len(event))
    expected = plain.log_prob(value.detach().double().unsqueeze(2))
    # sigma is known to single precision, relative to the square that it divides
    torch.testing.assert_close(each.double(), expected, rtol=1e-5, atol=1e-5)
    (gradient,) = torch.autograd.grad(each.logsumexp(-1).sum(), value)
    reference = value.detach().double().requires_grad_()
    (wanted,) = torch.autograd.grad(plain.log_prob(reference.unsqueeze(2)).logsumexp(-1).sum(), reference)
    torch.testing.assert_close(gradient.double(), wanted, rtol=1e-4, atol=1e-4 / scale)


@EVENTS
@pytest.mark.parametrize("scale", [1e-3, 0.1, 10.0])
def test_densities_of_each_component_under_each_by_matrix_products(event: tuple[int, ...], scale: float):
    loc, log_scale = 3 * torch.randn(6, *event), math.log(scale) + 0.5 * torch.randn(6, *event)
    parameters = [loc.requires_grad_(), log_scale.requires_grad_()]
    each = DiagonalNormal.from_log_scale(*parameters, len(event))
    value = torch.cat([each.sample(), 3 * torch.randn(2, *event)])
    terms = each.log_prob_terms_of_each(value)
    wide = DiagonalNormal.from_log_scale(*(p.double() for p in parameters), len(event))
    expected = Distribution.log_prob_terms_of_each(wide, value.double())
    assert terms.shape == expected.shape == (math.prod(event), 8, 6)
    torch.testing.assert_close(terms.double(), expected, rtol=1e-5, atol=1e-5)
    plain = td.Normal(loc.double(), log_scale.double().exp()).log_prob(value.double().unsqueeze(1))
    torch.testing.assert_close(expected, plain.flatten(2).permute(2, 0, 1), rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(terms)
    for got, wanted in zip(
        torch.autograd.grad((weights * terms).sum(), parameters, retain_graph=True),
        torch.autograd.grad((weights * expected).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-3 / scale)


def test_mixture_draws_components_in_proportion():
    centres = torch.tensor([[-10.0], [0.0], [10.0]], dtype=torch.float64)
    weights = torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64)
    ours = Mixture(DiagonalNormal.from_log_scale(centres, torch.zeros_like(centres) - 2), weights.log() + 3.0)
    draws = ours.sample(torch.Size((20_000,)))
    assert draws.shape == (20_000, 1)
    counts = [((draws - centre).abs() < 4).sum().item() for centre in centres]
    assert scipy.stats.chisquare(counts, 20_000 * weights.numpy()).pvalue > 1e-3


def test_mixture_of_posteriors_is_the_vamp_prior():
    from core.models import flat_model

    model = flat_model(prior={"kind": "vamp", "dim": 4, "pseudo_inputs": 3}).double()
    with torch.no_grad():  # some lie outside of what an image can be
        model.prior.pseudo_inputs.copy_(3 * torch.randn_like(model.prior.pseudo_inputs))
    z = torch.randn(2, 5, 4, dtype=torch.float64)
    u = model.prior.pseudo_inputs.clamp(0, 1)
    loc, log_variance = model.posterior.heads[0](model.encoder(u), None)[0].chunk(2, -1)
    each = td.Independent(td.Normal(loc, (0.5 * log_variance).exp()), 1).log_prob(z.unsqueeze(-2))
    expected = torch.logsumexp(each, -1) - math.log(3)
    torch.testing.assert_close(model.prior.distribution().log_prob(z), expected)
    expected.sum().backward()
    assert model.prior.pseudo_inputs.grad is not None, "the pseudo-inputs are learned through the encoder"


@EVENTS
def test_bernoulli_against_torch(event: tuple[int, ...]):
    logits = 3 * torch.randn(2, 3, *event, dtype=torch.float64)
    ours, reference = Bernoulli(logits, len(event)), td.Independent(td.Bernoulli(logits=logits), len(event))
    value = torch.rand_like(logits).round()
    torch.testing.assert_close(ours.log_prob(value), reference.log_prob(value))
    torch.testing.assert_close(ours.mean, reference.mean)
    # data of one datum, scored by K samples of the parameters
    torch.testing.assert_close(ours.log_prob(value[0].unsqueeze(0))[1], ours.log_prob(value[0].expand_as(logits))[1])


def test_bernoulli_sums_to_one():
    ours = Bernoulli(torch.tensor([-40.0, -1.0, 0.0, 2.0, 90.0], dtype=torch.float64))
    outcomes = torch.tensor(list(itertools.product((0.0, 1.0), repeat=5)), dtype=torch.float64)
    each = torch.stack([ours.log_prob(outcome) for outcome in outcomes])
    assert each.exp().sum().item() == pytest.approx(1.0, abs=1e-12)
    assert torch.isfinite(each).all()


def scalar(logit: float, dtype: torch.dtype = torch.float64) -> ContinuousBernoulli:
    return ContinuousBernoulli(torch.tensor([logit], dtype=dtype))


def quadrature(function, logit: float) -> float:
    # the mass of a large logit lies within a few 1/logit of one end
    edges = [0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0]
    pieces = [
        scipy.integrate.quad(function, a, b, epsabs=1e-13, epsrel=1e-12, limit=200)[0]
        for a, b in itertools.pairwise(edges)
    ]
    return math.fsum(pieces)


@pytest.mark.parametrize("logit", LOGITS)
def test_continuous_bernoulli_integrates_to_one(logit: float):
    density = scalar(logit)

    def pdf(x: float) -> float:
        return density.log_prob(torch.tensor([x], dtype=torch.float64)).exp().item()

    assert quadrature(pdf, logit) == pytest.approx(1.0, abs=1e-8)
    assert quadrature(lambda x: x * pdf(x), logit) == pytest.approx(density.mean.item(), abs=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_continuous_bernoulli_against_torch(dtype: torch.dtype):
    # torch clamps its probabilities, so that it is no reference far out
    logits = torch.tensor([logit for logit in LOGITS if abs(logit) <= 20], dtype=dtype).unsqueeze(-1)
    value = torch.linspace(0, 1, 11, dtype=dtype).expand(len(logits), -1).unsqueeze(-1)
    ours = ContinuousBernoulli(logits.unsqueeze(1).expand_as(value)).log_prob(value)
    # the reference in double precision: torch's own series is less exact than ours
    reference = td.ContinuousBernoulli(logits=logits.double(), lims=(0.49999, 0.50001))
    expected = reference.log_prob(value.squeeze(-1).double())
    tolerance = 2e-6 if dtype == torch.float32 else 1e-7
    torch.testing.assert_close(ours.double(), expected, rtol=tolerance, atol=tolerance)


def test_continuous_bernoulli_is_as_exact_in_single_precision():
    """The closed forms cancel near 0; the series takes over before they do."""
    single = torch.tensor([*LOGITS, 0.01, -0.03, 0.05], requires_grad=True)
    double = single.detach().double().requires_grad_()
    for quantity in (lambda t: ContinuousBernoulli(t).mean, lambda t: ContinuousBernoulli(t).log_normaliser()):
        ours, exact = quantity(single), quantity(double)
        torch.testing.assert_close(ours.double(), exact, rtol=2e-6, atol=1e-7)
        (slope,) = torch.autograd.grad(ours.sum(), single)
        (exact_slope,) = torch.autograd.grad(exact.sum(), double)
        torch.testing.assert_close(slope.double(), exact_slope, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("logit", LOGITS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_continuous_bernoulli_draws_follow_the_density(logit: float, dtype: torch.dtype):
    draws = scalar(logit, dtype).sample(torch.Size((5000,))).squeeze(-1).double().numpy()
    assert draws.min() >= 0
    assert draws.max() <= 1

    def cdf(x: np.ndarray) -> np.ndarray:
        if abs(logit) < 1e-6:
            return x
        if logit > 0:  # without overflow, and without cancellation near 1
            return (np.exp(-logit * (1 - x)) - np.exp(-logit)) / -np.expm1(-logit)
        return np.expm1(logit * x) / np.expm1(logit)

    assert scipy.stats.kstest(draws, cdf).pvalue > 1e-4


def test_continuous_bernoulli_has_finite_smooth_gradients():
    # at 0.3 itself a finite difference would straddle the two branches
    smooth = [logit for logit in LOGITS if abs(logit) != 0.3]
    logits = torch.tensor(smooth, dtype=torch.float64, requires_grad=True)
    value = torch.full_like(logits, 0.3).detach()
    assert torch.autograd.gradcheck(lambda t: ContinuousBernoulli(t, 0).log_prob(value), (logits,))
    assert torch.autograd.gradcheck(lambda t: ContinuousBernoulli(t, 0).mean, (logits,))


@pytest.mark.parametrize("what", ["log_prob", "mean", "rsample"])
@pytest.mark.parametrize("extreme", [-200.0, -90.0, 0.0, 90.0, 200.0])
def test_continuous_bernoulli_gradients_are_finite_far_out(extreme: float, what: str):
    logit = torch.tensor([extreme], requires_grad=True)
    density = ContinuousBernoulli(logit)
    value = {"log_prob": lambda: density.log_prob(torch.tensor([0.5])), "mean": lambda: density.mean}
    result = value.get(what, density.rsample)()
    assert torch.isfinite(result).all()
    result.sum().backward()
    assert logit.grad is not None
    assert torch.isfinite(logit.grad).all()


@pytest.mark.parametrize("logit", [-20.0, -1.0, -0.0005, 0.0005, 1.0, 20.0])
def test_continuous_bernoulli_draws_carry_the_pathwise_gradient(logit: float):
    def draw(at: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)
        return ContinuousBernoulli(at.expand(50)).rsample()

    leaf = torch.tensor(logit, dtype=torch.float64, requires_grad=True)
    step = 1e-6
    finite = (draw(leaf.detach() + step) - draw(leaf.detach() - step)) / (2 * step)
    (gradient,) = torch.autograd.grad(draw(leaf).sum(), leaf)
    torch.testing.assert_close(gradient, finite.sum(), rtol=1e-4, atol=1e-4)


@EVENTS
def test_optimal_scale_is_the_maximum_likelihood_normal(event: tuple[int, ...]):
    loc = torch.randn(2, 3, *event, dtype=torch.float64)
    value = loc + 0.3 * torch.randn_like(loc)
    seen: list[torch.Tensor] = []
    ours = OptimalScaleNormal(loc, len(event), torch.zeros(()), seen.append)
    log_prob = ours.log_prob(value)
    sigma = (value - loc).square().mean().sqrt()
    torch.testing.assert_close(seen[0], sigma.log())

    def at(scale: torch.Tensor) -> torch.Tensor:
        return td.Independent(td.Normal(loc, scale), len(event)).log_prob(value)

    torch.testing.assert_close(log_prob, at(sigma))
    for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0):
        assert at(sigma * factor).sum() < log_prob.sum()


def test_optimal_scale_survives_a_perfect_reconstruction():
    loc = torch.zeros(1, 2, 4, requires_grad=True)
    log_prob = OptimalScaleNormal(loc, 1, torch.zeros(()), lambda log_scale: None).log_prob(torch.zeros(1, 2, 4))
    log_prob.sum().backward()
    assert torch.isfinite(log_prob).all()
    assert loc.grad is not None
    assert torch.isfinite(loc.grad).all()


def test_uniform_codes():
    prior = UniformCodes((), (4, 5), 8, lookup, BOOK)
    draws = prior.sample(torch.Size((3000,)))
    assert draws.shape == (3000, 4, 5)
    torch.testing.assert_close(prior.log_prob(draws), torch.full((3000,), -5 * math.log(8), dtype=torch.float64))
    # every draw is a code vector, and all are as frequent
    vectors = draws.movedim(1, 2).reshape(-1, 1, 4)
    nearest = (vectors - BOOK).abs().sum(-1).min(-1)
    assert nearest.values.max() == 0
    assert scipy.stats.chisquare(np.bincount(nearest.indices.numpy(), minlength=8)).pvalue > 1e-3
    with pytest.raises(NotImplementedError):
        prior.rsample()


def test_quantised_codes():
    index = torch.randint(8, (2, 3, 5))
    penalty = torch.rand(2, 3, dtype=torch.float64)
    q = QuantisedCodes(lookup(index), index, penalty)
    z, log_q, cost = q.draw()
    assert torch.equal(z, lookup(index))
    assert log_q is not None
    assert torch.count_nonzero(log_q) == 0
    assert cost is not None
    assert torch.equal(cost, penalty)
    rate = closed_kl(q, UniformCodes((2, 3), (4, 5), 8, lookup, BOOK))
    assert rate is not None
    torch.testing.assert_close(rate, torch.full((2, 3), 5 * math.log(8), dtype=torch.float64))
