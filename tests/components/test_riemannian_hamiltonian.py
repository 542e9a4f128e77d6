"""The posterior with a learned metric: reduces to `hamiltonian`, keeps its centroids, and its weights are unbiased."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from core.models import HIERARCHY, bits, flat_model, losses, model_and
from vaelab.distributions import RiemannianHamiltonianNormal
from vaelab.errors import BuildError
from vaelab.model import VAE

POSTERIOR: dict[str, Any] = {
    "kind": "riemannian_hamiltonian",
    "steps": 3,
    "step_size": 0.05,
    "max_step_size": 0.25,
    "centroids": 10,
    "metric_hidden": [8],
}


def trained(**posterior: Any) -> VAE:
    """With the centroids of three batches, in evaluation mode."""
    model = flat_model(posterior={**POSTERIOR, **posterior}).double()
    for seed in range(3):
        torch.manual_seed(seed)
        model.infer(bits(dtype=torch.float64), 2)
    return model.eval()


def test_without_centroids_and_with_unit_regularisation_it_is_the_hamiltonian_posterior():
    ours = flat_model(posterior={**POSTERIOR, "regularisation": 1.0}).double().eval()
    plain = flat_model(posterior={"kind": "hamiltonian", "steps": 3}).double().eval()
    state = {name: tensor for name, tensor in ours.state_dict().items() if name in plain.state_dict()}
    plain.load_state_dict(state)
    traces = []
    for model in (ours, plain):
        torch.manual_seed(1)
        traces.append(model.infer(bits(dtype=torch.float64), 4))
    torch.testing.assert_close(traces[0].groups[0].z, traces[1].groups[0].z, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(traces[0].log_weight, traces[1].log_weight, rtol=1e-12, atol=1e-12)
    assert not torch.equal(trained().posterior.factors, ours.posterior.factors)


def test_a_learned_metric_makes_other_draws():
    model, plain = trained(), flat_model(posterior={"kind": "hamiltonian", "steps": 3}).double().eval()
    plain.load_state_dict({name: t for name, t in model.state_dict().items() if name in plain.state_dict()})
    draws = []
    for one in (model, plain):
        torch.manual_seed(1)
        draws.append(one.infer(bits(dtype=torch.float64)).groups[0].z)
    assert (draws[0] - draws[1]).abs().max() > 1e-3


def test_the_newest_data_come_first_and_the_oldest_leave():
    model = flat_model(posterior=POSTERIOR)
    posterior = model.posterior
    assert not posterior.factors.any()
    means = []
    for number in (6, 3):
        batch = bits(number)
        model.infer(batch)
        means.append(model.posterior.heads[0](model.encoder.features(batch)[0], None)[0].chunk(2, 1)[0])
    torch.testing.assert_close(posterior.centroids[:3], means[1])
    torch.testing.assert_close(posterior.centroids[3:9], means[0])
    assert posterior.factors[:9].diagonal(dim1=1, dim2=2).gt(0).all()
    assert not posterior.factors[9].any()
    assert torch.equal(posterior.factors, posterior.factors.tril())
    model.infer(bits(12))  # more than there is room for
    assert posterior.centroids.shape == (10, 4)


def test_evaluation_leaves_the_metric_as_it_is_and_it_is_saved():
    model = trained()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.infer(bits(dtype=torch.float64))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    again = flat_model(posterior=POSTERIOR).double().eval()
    again.load_state_dict(before)
    weights = []
    for one in (model, again):
        torch.manual_seed(2)
        weights.append(one.infer(bits(dtype=torch.float64)).log_weight)
    assert torch.equal(*weights)


def test_the_loss_trains_the_metrics_network():
    model, objective = model_and("elbo", posterior=POSTERIOR)
    losses(objective, model, bits()).mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.posterior.parameters())


def test_the_rate_is_that_of_the_draw():
    """The ELBO needs no closed KL: log q is the draw's own, with its momentum."""
    model = trained()
    group = model.infer(bits(dtype=torch.float64), 3).groups[0]
    assert isinstance(group.q, RiemannianHamiltonianNormal)
    assert group.closed_rate() is None
    torch.testing.assert_close(group.rate(), group.log_q - group.log_p)


def test_importance_weights_estimate_the_same_likelihood_as_those_of_a_normal():
    model, batch = trained(iterations=8), bits(3, dtype=torch.float64)
    plain = flat_model().double()
    plain.load_state_dict(model.state_dict(), strict=False)
    samples = 8000

    def estimate(of: VAE) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(3)
        with torch.no_grad():
            weight = of.infer(batch, samples).log_weight
        top = weight.max(0).values
        scaled = (weight - top).exp()
        return top + scaled.mean(0).log(), scaled.std(0) / scaled.mean(0) / math.sqrt(samples)

    (one, error_one), (two, error_two) = estimate(model), estimate(plain)
    assert ((one - two).abs() < 5 * (error_one.square() + error_two.square()).sqrt()).all()


def test_a_map_a_hierarchy_and_a_step_that_is_too_large_are_refused():
    with pytest.raises(BuildError, match=r"posterior 'riemannian_hamiltonian'.*prior 'standard_normal' has a map"):
        flat_model(posterior=POSTERIOR, prior={"kind": "standard_normal", "dim": [2, 2, 2]})
    with pytest.raises(BuildError, match=r"posterior 'riemannian_hamiltonian'.*prior 'top_down' has 3 groups"):
        model_and("elbo", HIERARCHY, posterior=POSTERIOR)
    with pytest.raises(BuildError, match="max_step_size"):
        flat_model(posterior={**POSTERIOR, "step_size": 0.3})
