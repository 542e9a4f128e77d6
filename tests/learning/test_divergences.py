"""Terms whose value is known."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from core.models import HIERARCHY, bits, flat_model, losses, model_and
from vaelab.distributions import DiagonalNormal, StandardNormal
from vaelab.divergences.aggregate import log_sum_exp, log_weights
from vaelab.divergences.beta_tc import BetaTC, BetaTCConfig
from vaelab.divergences.dip import DIP, DIPConfig
from vaelab.divergences.mmd import MMD, MMDConfig
from vaelab.divergences.regularised import DecoderGradient, DecoderGradientConfig
from vaelab.divergences.transport import Sinkhorn, SinkhornConfig, SlicedWasserstein, SlicedWassersteinConfig
from vaelab.errors import BuildError
from vaelab.inference import Group, Trace
from vaelab.objectives import MODEL
from vaelab.types import Batch, BuildContext, DataSpec, StepContext

CONTEXT = BuildContext(DataSpec((4,), "real"))


def trace_of(loc: Tensor, scale: Tensor) -> Trace:
    """A pass whose posteriors are normals `[B, D]`."""
    q = DiagonalNormal.from_log_scale(loc.unsqueeze(0), scale.log().unsqueeze(0))
    group = Group(q.rsample(), StandardNormal(torch.zeros_like(loc[0])), q)
    return Trace(Batch(torch.zeros(len(loc), 4)), [group], q)


# beta-TC


@pytest.mark.parametrize("estimator", ["stratified", "weighted"])
def test_beta_tc_with_unit_weights_telescopes(estimator: str) -> None:
    config = {"kind": "beta_tc", "alpha": 1.0, "beta": 1.0, "gamma": 1.0, "estimator": estimator}
    values = []
    for term in (config, {"kind": "kl", "estimator": "monte_carlo"}):
        model, objective = model_and({"kind": "elbo", "divergences": [term]})
        context = StepContext(dataset_size=1000)
        values.append(losses(objective, model.double(), bits(dtype=torch.float64), context=context))
    torch.testing.assert_close(values[0], values[1], rtol=1e-10, atol=1e-10)


def aggregate(loc: Tensor, scale: Tensor, z: Tensor) -> Tensor:
    """q(z) over the whole data set, `[...]`."""
    density = torch.distributions.Normal(loc, scale).log_prob(z.unsqueeze(-2)).sum(-1)
    return density.exp().mean(-1)


def test_stratified_sampling_estimates_the_aggregate_posterior_without_bias_and_weighted_does_not() -> None:
    generator = torch.Generator().manual_seed(0)
    size, batch = 6, 3
    loc = torch.randn(size, 2, generator=generator, dtype=torch.float64)
    scale = 0.5 + torch.rand(size, 2, generator=generator, dtype=torch.float64)
    z = loc[0] + 0.3
    exact = aggregate(loc, scale, z)
    estimates: dict[str, list[Tensor]] = {"stratified": [], "weighted": []}
    # every ordered minibatch that begins with the datum z came from: the expectation by enumeration
    for others in itertools.permutations(range(1, size), batch - 1):
        rows = torch.tensor([0, *others])
        pairs = torch.distributions.Normal(loc[rows], scale[rows]).log_prob(z).sum(-1)
        for estimator, found in estimates.items():
            weights = log_weights(batch, size, estimator, pairs.expand(batch, batch))[0]
            found.append((weights + pairs).logsumexp(0).exp())
    assert float(torch.stack(estimates["stratified"]).mean()) == pytest.approx(float(exact), rel=1e-12)
    assert float(torch.stack(estimates["weighted"]).mean()) < 0.8 * float(exact)


def test_total_correlation_of_a_correlated_aggregate_posterior() -> None:
    # many data whose posterior means are correlated: q(z) is a normal with known total correlation
    generator = torch.Generator().manual_seed(1)
    rho, number, noise = 0.8, 3000, 0.6
    means = torch.randn(number, 2, generator=generator, dtype=torch.float64)
    means[:, 1] = rho * means[:, 0] + math.sqrt(1 - rho**2) * means[:, 1]
    torch.manual_seed(0)
    trace = trace_of(means, torch.full_like(means, noise))
    term = BetaTC(BetaTCConfig(), CONTEXT)
    information, correlation, dimensions = term.parts(trace, StepContext(dataset_size=number))
    r = rho / (1 + noise**2)
    assert float(correlation.mean()) == pytest.approx(-0.5 * math.log(1 - r**2), abs=0.03)
    marginal = 1 + noise**2
    assert float(dimensions.mean()) == pytest.approx(2 * 0.5 * (marginal - 1 - math.log(marginal)), abs=0.05)
    determinant = marginal**2 - rho**2
    assert float(information.mean()) == pytest.approx(0.5 * math.log(determinant / noise**4), abs=0.05)


def test_log_sum_exp_and_its_gradient() -> None:
    terms = (300 * torch.randn(3, 4, 5, dtype=torch.float64)).requires_grad_()
    torch.testing.assert_close(log_sum_exp(terms), torch.logsumexp(terms, -1))
    assert torch.autograd.gradcheck(log_sum_exp, (terms,), eps=1e-4)


def test_beta_tc_refuses_a_hierarchy() -> None:
    with pytest.raises(BuildError, match=r"'beta_tc'.*'top_down'"):
        model_and({"kind": "elbo", "divergences": ["beta_tc"]}, HIERARCHY)


# DIP


@pytest.mark.parametrize("version", ["i", "ii"])
def test_dip_by_hand(version: str) -> None:
    loc = torch.tensor([[1.0, 2.0], [3.0, 1.0], [2.0, 6.0]], dtype=torch.float64)
    scale = torch.tensor([[1.0, 0.5], [2.0, 0.5], [1.0, 1.5]], dtype=torch.float64)
    covariance = torch.cov(loc.T, correction=0)
    if version == "ii":
        covariance = covariance + torch.diag(scale.square().mean(0))
    expected = 2 * 3.0 * covariance[0, 1] ** 2 + 5.0 * ((covariance.diagonal() - 1) ** 2).sum()
    config = DIPConfig(version=version, off_diagonal=3.0, diagonal=5.0)
    value = DIP(config, CONTEXT)(trace_of(loc, scale), StepContext())
    torch.testing.assert_close(value, expected.expand(3))


# Distances between samples


def distances() -> list[Any]:
    return [
        MMD(MMDConfig(kernel="imq"), CONTEXT),
        MMD(MMDConfig(kernel="rbf"), CONTEXT),
        SlicedWasserstein(SlicedWassersteinConfig(projections=400), CONTEXT),
        Sinkhorn(SinkhornConfig(blur=0.3, iterations=60), CONTEXT),
    ]


@pytest.mark.parametrize("distance", distances(), ids=lambda d: f"{d.name}-{getattr(d.config, 'kernel', '')}")
def test_distances_grow_with_the_shift_and_vanish_without(distance: Any) -> None:
    torch.manual_seed(0)
    y = torch.randn(500, 3, dtype=torch.float64)
    x = torch.randn(500, 3, dtype=torch.float64)
    values = [float(distance.distance(x + shift, y)) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values)
    assert abs(values[0]) < 0.2 * values[1]
    if distance.name != "mmd":  # without bias, the MMD of a sample with itself is below 0
        assert float(distance.distance(x, x)) == pytest.approx(0.0, abs=1e-9)


def test_mmd_is_unbiased_and_has_the_closed_form_of_two_normals() -> None:
    # with a Gaussian kernel exp(-d^2/C) and N(m, 1) against N(0, 1) in one dimension
    shift, c = 1.2, 2 * 1.0 * 0.5
    term = MMD(MMDConfig(kernel="rbf", scales=(0.5,)), CONTEXT)

    def mean_kernel(distance: float) -> float:
        return math.sqrt(c / (c + 4)) * math.exp(-(distance**2) / (c + 4))

    exact = 2 * mean_kernel(0) - 2 * mean_kernel(shift)
    torch.manual_seed(0)
    draws = torch.stack(
        [
            term.distance(shift + torch.randn(10, 1, dtype=torch.float64), torch.randn(10, 1, dtype=torch.float64))
            for _ in range(4000)
        ]
    )
    assert abs(float(draws.mean()) - exact) < 5 * float(draws.std()) / 4000**0.5


def test_sliced_wasserstein_of_a_shift() -> None:
    # a shift by v moves every projection by v·theta, whose square has the mean |v|^2 / D
    torch.manual_seed(0)
    x = torch.randn(200, 4, dtype=torch.float64)
    v = torch.tensor([1.0, -2.0, 0.5, 0.0], dtype=torch.float64)
    term = SlicedWasserstein(SlicedWassersteinConfig(projections=20000), CONTEXT)
    assert float(term.distance(x + v, x)) == pytest.approx(float(v.square().sum()) / 4, rel=0.03)


def test_sinkhorn_of_a_shift_and_its_gradient() -> None:
    # the transport cost of a shift is half its squared length, and the divergence has no entropic bias
    torch.manual_seed(0)
    x = torch.randn(300, 2, dtype=torch.float64)
    v = torch.tensor([1.5, -0.5], dtype=torch.float64, requires_grad=True)
    value = Sinkhorn(SinkhornConfig(blur=0.3, iterations=200), CONTEXT).distance(x + v, x)
    assert float(value.detach()) == pytest.approx(0.5 * float(v.detach().square().sum()), rel=0.02)
    (gradient,) = torch.autograd.grad(value, v)
    torch.testing.assert_close(gradient, v.detach(), rtol=0.03, atol=0.02)


# Adversaries and penalties


def test_the_latent_adversary_learns_the_density_ratio() -> None:
    model, objective = model_and(
        {"kind": "elbo", "divergences": [{"kind": "adversarial_latent", "loss": "density_ratio", "hidden": [32]}]},
        prior={"kind": "standard_normal", "dim": 1},
    )
    (term,) = objective.terms()
    assert term.adversary is not None
    shift = 1.0
    loc = torch.full((512, 1), shift)
    optimiser = torch.optim.Adam(term.adversary.parameters(), 5e-3)
    torch.manual_seed(0)
    for _ in range(300):
        trace = trace_of(loc, torch.ones_like(loc))
        optimiser.zero_grad()
        term.adversary.loss(trace, StepContext()).mean().backward()
        optimiser.step()
    with torch.no_grad():
        trace = trace_of(loc.repeat(8, 1), torch.ones(4096, 1))
        value = term(trace, StepContext())
    # KL(N(1, 1) || N(0, 1)) = 1/2
    assert float(value.mean()) == pytest.approx(0.5 * shift**2, abs=0.1)
    assert model.depth == 1


def test_adversaries_get_no_gradient_from_the_model_and_give_it_one() -> None:
    for kind in ("adversarial_latent", "adversarial_data"):
        model, objective = model_and({"kind": "elbo", "divergences": [{"kind": kind, "hidden": [8]}]})
        result = objective(model, bits(), StepContext())
        players = objective.players(model)
        assert set(result) == set(players) == {MODEL, kind}
        theirs = torch.autograd.grad(
            result[kind].value.mean(), list(model.parameters()), allow_unused=True, retain_graph=True
        )
        assert all(g is None for g in theirs)
        (term,) = objective.terms()
        mine = torch.autograd.grad(term(model.infer(bits()), StepContext()).mean(), list(model.posterior.parameters()))
        assert any(float(g.abs().max()) > 0 for g in mine)


def test_the_decoder_gradient_is_the_norm_of_the_jacobian() -> None:
    model = flat_model(
        (5,), "real", decoder={"kind": "mlp", "hidden": []}, likelihood={"kind": "normal", "sigma": "fixed"}
    )
    jacobian = model.decoder.net[0].weight.detach()
    term = DecoderGradient(DecoderGradientConfig(), CONTEXT)
    torch.manual_seed(0)
    x = torch.randn(4000, 5)
    values = term(model.infer(Batch(x)), StepContext()).detach()
    error = float(values.std()) / 4000**0.5
    assert abs(float(values.mean()) - float(jacobian.square().sum())) < 5 * error


def test_latent_l2_is_the_prior_up_to_a_constant() -> None:
    model, objective = model_and({"kind": "elbo", "divergences": ["latent_l2"]})
    torch.manual_seed(5)
    trace = model.infer(bits())
    expected = -trace.log_px[0] - trace.groups[0].log_p[0] - 2 * math.log(2 * math.pi)
    torch.testing.assert_close(losses(objective, model, bits()), expected)
