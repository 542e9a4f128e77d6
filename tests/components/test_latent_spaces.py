"""Posteriors and priors of spheres, balls, flows and correlated normals, as parts of a model."""

from __future__ import annotations

import math

import pytest
import torch

from core.models import FLAT, HIERARCHY, bits, flat_model, model_and, model_config
from vaelab.build import build_model
from vaelab.distributions import DiagonalNormal, NormalFlow
from vaelab.errors import BuildError
from vaelab.posteriors.ball import bounded
from vaelab.types import DataSpec


def posterior_of(model, samples: int = 2):
    return model.infer(bits(dtype=next(model.parameters()).dtype), samples).groups[0].q


@pytest.mark.parametrize("kind", ["full_normal", "low_rank_normal", "flow", "laplace"])
@pytest.mark.parametrize("base", [FLAT, HIERARCHY], ids=["flat", "hierarchy"])
def test_real_posteriors_serve_flat_models_and_hierarchies(kind: str, base):
    torch.manual_seed(0)
    model = build_model(model_config(base, posterior=kind), DataSpec((1, 8, 8), "binary"))
    trace = model.infer(bits(), 3)
    assert trace.log_weight.shape == (3, 6)
    for group, spec in zip(trace.groups, model.prior.latent.groups, strict=True):
        assert group.z.shape[2:] == spec.shape


@pytest.mark.parametrize("kind", ["full_normal", "low_rank_normal", "flow"])
def test_maps_are_flattened_and_back(kind: str):
    model = flat_model(posterior=kind, prior={"kind": "standard_normal", "dim": [2, 3, 2]})
    q = posterior_of(model)
    assert q.event_shape == (2, 3, 2)
    assert q.draw().z.shape == (2, 6, 2, 3, 2)


@pytest.mark.parametrize("kind", ["full_normal", "low_rank_normal"])
def test_correlated_normals_use_the_closed_form(kind: str):
    trace = flat_model(posterior=kind).infer(bits(), 1)
    assert trace.groups[0].closed_rate() is not None


@pytest.mark.parametrize("flow", ["planar", "radial", "iaf", "nsf"])
@pytest.mark.parametrize("amortised", [True, False])
def test_flow_posterior_weighs_its_draws_exactly(flow: str, amortised: bool):
    model = flat_model(posterior={"kind": "flow", "flow": flow, "steps": 3, "amortised": amortised}).double()
    group = model.infer(bits(dtype=torch.float64), 2).groups[0]
    assert isinstance(group.q, NormalFlow)
    torch.testing.assert_close(group.log_q, group.q.log_prob(group.z))
    own = sum(parameter.numel() for parameter in model.posterior.flows.parameters())
    assert (own > 0) == (flow in ("iaf", "nsf") or not amortised)


def test_the_weights_of_a_flow_are_saved_once():
    model = flat_model(posterior={"kind": "flow", "flow": "iaf", "steps": 2})
    tensors = [tensor.data_ptr() for tensor in model.state_dict().values()]
    assert len(tensors) == len(set(tensors))


def test_flow_prior_learns_what_a_normal_cannot():
    """Fitted to two lumps, it scores them better than the best normal does, and its draws fall on them."""
    model = flat_model(prior={"kind": "flow", "dim": 1, "steps": 2, "width": [16]})
    data = torch.cat([torch.randn(200, 1) * 0.2 - 1.5, torch.randn(200, 1) * 0.2 + 1.5])
    optimiser = torch.optim.Adam(model.prior.parameters(), lr=0.02)
    for _ in range(200):
        loss = -model.prior.distribution().log_prob(data).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    entropy_of_normal = 0.5 * math.log(2 * math.pi * math.e * data.var().item())
    assert loss.item() < entropy_of_normal - 0.3
    draws = model.prior.distribution().sample((1000,))
    assert ((draws.abs() - 1.5).abs() < 0.8).float().mean() > 0.9


@pytest.mark.parametrize("flow", ["maf", "nsf"])
def test_flow_prior_draws_from_its_own_density(flow: str):
    prior = flat_model(prior={"kind": "flow", "dim": 3, "flow": flow, "width": [16]}).double().prior
    p = prior.distribution()
    z = p.sample(torch.Size((50,)))
    start, log_det = p._apply(z, inverse=True)
    torch.testing.assert_close(p.log_prob(z), p.base.log_prob(start) + log_det)
    torch.testing.assert_close(p._apply(start)[0], z)


def test_learned_normal_prior_starts_as_the_standard_one():
    prior = flat_model(prior={"kind": "normal", "dim": 4}).prior
    z = torch.randn(5, 4)
    p = prior.distribution()
    assert isinstance(p, DiagonalNormal)
    torch.testing.assert_close(p.log_prob(z), flat_model().prior.distribution().log_prob(z))
    p.log_prob(z).sum().backward()
    torch.testing.assert_close(prior.loc.grad, z.sum(0))
    torch.testing.assert_close(prior.log_scale.grad, (z.square() - 1).sum(0))


@pytest.mark.parametrize("kind", ["von_mises_fisher", "power_spherical"])
def test_spherical_latents_lie_on_the_sphere(kind: str):
    model = flat_model(posterior=kind, prior={"kind": "uniform_sphere", "dim": 5})
    trace = model.infer(bits(), 4)
    torch.testing.assert_close(trace.groups[0].z.norm(dim=-1), torch.ones(4, 6))
    assert trace.groups[0].closed_rate() is not None
    # the centre is a point of the sphere, which the mean is not
    (code,) = model.encode(bits().x, mean=True)
    torch.testing.assert_close(code.norm(dim=-1), torch.ones(6))
    torch.testing.assert_close(model.generate(7).zs[0].norm(dim=-1), torch.ones(7))


@pytest.mark.parametrize("least", [0.01, 1.0, 50.0])
def test_concentration_stays_above_its_least(least: float):
    model = flat_model(
        posterior={"kind": "von_mises_fisher", "least": least}, prior={"kind": "uniform_sphere", "dim": 5}
    )
    assert (posterior_of(model).concentration > least).all()


@pytest.mark.parametrize("kind", ["wrapped_normal", "riemannian_normal"])
@pytest.mark.parametrize("form", ["wrapped", "riemannian"])
def test_ball_posteriors_take_the_geometry_of_the_prior(kind: str, form: str):
    prior = {"kind": "ball_normal", "dim": 3, "curvature": 2.5, "form": form, "scale": 0.8}
    model = flat_model(posterior=kind, prior=prior)
    trace = model.infer(bits(), 4)
    assert trace.groups[0].q.curvature == trace.groups[0].p.curvature == 2.5
    assert (2.5 * trace.groups[0].z.square().sum(-1) < 1).all()
    assert (2.5 * model.generate(50).zs[0].square().sum(-1) < 1).all()
    assert torch.isfinite(trace.log_weight).all()


@pytest.mark.parametrize("kind", ["wrapped_normal", "riemannian_normal"])
@pytest.mark.parametrize("size", [-200.0, 200.0])
def test_extreme_outputs_of_the_head_stay_finite_on_the_ball(kind: str, size: float):
    model = flat_model(posterior=kind, prior={"kind": "ball_normal", "dim": 5, "curvature": 0.7})
    with torch.no_grad():
        model.posterior.heads[0].net[-1].bias.fill_(size)
    trace = model.infer(bits(), 3)
    trace.log_weight.sum().backward()
    assert torch.isfinite(trace.log_weight).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    scale = trace.groups[0].q.log_scale.exp()
    assert (scale >= 9e-4).all()
    assert (scale <= 2.0 + 1e-6).all()


@pytest.mark.parametrize(
    ("posterior", "prior"),
    [
        ("diagonal_normal", {"kind": "uniform_sphere", "dim": 4}),
        ("von_mises_fisher", {"kind": "standard_normal", "dim": 4}),
        ("wrapped_normal", {"kind": "uniform_sphere", "dim": 4}),
        ("power_spherical", {"kind": "ball_normal", "dim": 4}),
    ],
)
def test_other_spaces_are_refused_by_name(posterior: str, prior):
    with pytest.raises(BuildError, match=rf"posterior '{posterior}'.*prior '{prior['kind']}'"):
        flat_model(posterior=posterior, prior=prior)


def test_a_closed_form_is_refused_where_a_flow_has_none():
    term = {"kind": "kl", "estimator": "closed"}
    with pytest.raises(BuildError, match=r"posterior 'flow'.*prior 'standard_normal'"):
        model_and({"kind": "elbo", "divergences": [term]}, posterior="flow")


@pytest.mark.parametrize("kind", ["wrapped_normal", "riemannian_normal"])
def test_a_middle_point_at_the_edge_of_the_ball_has_a_gradient_that_brings_it_back(kind: str):
    """A head whose output has run away must be able to return: the map into the ball saturates in single precision."""
    model = flat_model(prior={"kind": "ball_normal", "dim": 4, "curvature": 0.7}, posterior=kind)
    head = model.posterior.heads[0].net[-1]
    with torch.no_grad():
        head.bias[:4] = 50.0
    q = model.infer(bits()).groups[0].q
    distance = 2 / 0.7**0.5 * torch.atanh(0.7**0.5 * q.loc.norm(dim=-1))
    assert distance.max() < 6.0 / 0.7**0.5
    assert distance.min() > 5.9 / 0.7**0.5
    (gradient,) = torch.autograd.grad(distance.sum(), head.bias)
    assert gradient[:4].norm() / 6 > 1e-6
    lengths = torch.tensor([[0.01, 0.0], [3.0, 4.0], [3e4, 4e4]])
    expected = lengths.norm(dim=1) / (1 + lengths.square().sum(1) * 0.7 / 36).sqrt()
    torch.testing.assert_close(bounded(lengths, 0.7).norm(dim=1), expected)
