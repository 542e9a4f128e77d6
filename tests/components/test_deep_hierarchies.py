"""Many latent groups: how they are written, how they start, and that they train."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.distributions import Normal, kl_divergence

from core.models import CHAIN, HIERARCHY, bits, flat_model, model_config
from vaelab.build import build_model
from vaelab.distributions import DiagonalNormal
from vaelab.errors import BuildError
from vaelab.model import VAE
from vaelab.registry import PRIORS
from vaelab.types import Batch, DataSpec

DEEP: dict[str, Any] = {
    "encoder": {"kind": "pyramid", "width": 8, "activation": "silu", "shared": True},
    "posterior": {"kind": "residual_normal", "hidden": [8], "activation": "silu"},
    "prior": {
        "kind": "top_down",
        "top": {"kind": "standard_normal", "dim": [2, 4, 4]},
        "groups": [
            {"shape": [2, 4, 4], "repeat": 5},
            {"shape": [2, 7, 7], "repeat": 8},
            {"shape": [2, 14, 14], "repeat": 6},
        ],
        "width": 8,
        "path": "residual",
        "activation": "silu",
    },
    "decoder": {"kind": "resnet", "channels": [8, 8], "blocks": 1},
    "likelihood": "bernoulli",
}
COLOUR: dict[str, Any] = {
    **DEEP,
    "prior": {
        **DEEP["prior"],
        "groups": [
            {"shape": [2, 4, 4], "repeat": 1},
            {"shape": [2, 8, 8], "repeat": 3},
            {"shape": [2, 16, 16], "repeat": 3},
        ],
    },
    "likelihood": {"kind": "discretised_logistic_mixture", "components": 2},
}


def deep(base: dict[str, Any] = DEEP, shape: tuple[int, ...] = (1, 28, 28), **axes: Any) -> VAE:
    torch.manual_seed(0)
    return build_model(model_config(base, **axes), DataSpec(shape, "binary"))


def test_repeated_groups_are_groups():
    repeated = PRIORS["top_down"].config.model_validate({"groups": [{"shape": [2, 4, 4], "repeat": 2}, 3]})
    written = PRIORS["top_down"].config.model_validate({"groups": [[2, 4, 4], [2, 4, 4], 3]})
    shapes = []
    for config in (repeated, written):
        prior = flat_model(prior=config, encoder="mlp").prior
        shapes.append([group.shape for group in prior.latent.groups])
    assert shapes[0] == shapes[1] == [(20,), (2, 4, 4), (2, 4, 4), (3,)]
    with pytest.raises(ValidationError, match="repeat"):
        PRIORS["top_down"].config.model_validate({"groups": [{"shape": 3, "repeat": 0}]})


@pytest.mark.parametrize(("base", "shape", "depth"), [(DEEP, (1, 28, 28), 20), (COLOUR, (3, 32, 32), 8)])
def test_starts_near_the_prior_and_the_standard_normal(base: dict[str, Any], shape: tuple[int, ...], depth: int):
    model = deep(base, shape)
    trace = model.infer(bits(4, shape))
    assert model.depth == depth
    for i, group in enumerate(trace.groups):
        assert isinstance(group.p, DiagonalNormal)
        assert group.p.loc.abs().max() < 0.5
        assert group.p.log_scale.abs().max() < 0.5
        assert trace.rate(i).mean() / group.z[0, 0].numel() < 0.02, "nats a latent"
    assert torch.isfinite(trace.log_px).all()


def test_features_neither_grow_nor_vanish_along_twenty_groups():
    model = deep()
    state = model.prior.initial((1, 16))
    sizes = []
    for i in range(model.depth):
        z = model.prior.group(i, state).expand(torch.Size((1, 16))).sample()
        state = model.prior.advance(i, state, z)
        assert state.hidden is not None
        sizes.append(state.hidden.std().item())
    assert max(sizes) / min(sizes) < 10


def test_one_feature_serves_the_groups_of_a_resolution():
    model = deep()
    assert len(model.encoder.levels) == 3
    features = model.encoder.features(bits(2, (1, 28, 28)))
    assert [feature.shape[2] for feature in features] == [4] * 6 + [7] * 8 + [14] * 6
    assert features[0] is features[5]
    assert features[5] is not features[6]


def test_residual_posterior_is_relative_to_the_prior():
    model = deep(HIERARCHY, (1, 8, 8), posterior="residual_normal").double()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    trace = model.infer(bits(5, dtype=torch.float64), 3)
    for i, group in enumerate(trace.groups):
        q, p = group.q, group.p
        assert isinstance(q, DiagonalNormal)
        assert isinstance(p, DiagonalNormal)
        torch.testing.assert_close(q.scale.log(), q.log_scale)
        shift, ratio = (q.loc - p.loc) / p.scale, q.scale / p.scale
        by_the_paper = 0.5 * (shift**2 + ratio**2 - 1 - 2 * ratio.log()).sum(-1)
        torch.testing.assert_close(trace.rate(i), by_the_paper)
        reference = kl_divergence(Normal(q.loc, q.scale), Normal(p.loc, p.scale)).sum(-1)
        torch.testing.assert_close(trace.rate(i), reference)


@pytest.mark.parametrize("prior", ["mixture", "vamp"])
def test_residual_posterior_refuses_a_prior_that_is_not_normal(prior: str):
    with pytest.raises(BuildError) as caught:
        flat_model(posterior="residual_normal", prior={"kind": prior, "dim": 4})
    assert "posterior 'residual_normal'" in str(caught.value)
    assert f"prior '{prior}'" in str(caught.value)


def test_residual_posterior_serves_a_chain():
    trace = build_model(model_config(CHAIN, posterior="residual_normal"), DataSpec((1, 4, 6), "binary")).infer(
        bits(2, (1, 4, 6))
    )
    assert torch.isfinite(trace.log_weight).all()


def test_residual_path_of_vectors_and_maps():
    prior = {**HIERARCHY["prior"], "path": "residual", "groups": [4, 4, [2, 2, 2], [2, 2, 2], 3]}
    model = deep(HIERARCHY, (1, 8, 8), prior=prior)
    trace = model.infer(bits(2), 2)
    trace.log_weight.sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_a_step_of_the_residual_path_is_near_the_identity():
    model = deep()
    h = torch.randn(1, 4, 8, 14, 14)
    changed = model.prior.transitions[-1](h)
    assert 0 < (changed - h).std() < 0.3 * h.std()


def train(model: VAE, steps: int, data: Batch, batch_size: int) -> list[float]:
    """The negative ELBO at each step, with a warm-up of the rate over the first quarter and gradients clipped at 50."""
    order = torch.Generator().manual_seed(1)
    optimiser = torch.optim.Adamax(model.parameters(), lr=2e-3)
    history = []
    for step in range(steps):
        trace = model.infer(Batch(data.x[torch.randint(len(data), (batch_size,), generator=order)]))
        weight = min(1.0, 0.1 + 4 * step / steps)
        loss = (weight * trace.total_rate() - trace.log_px).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 50.0)
        optimiser.step()
        history.append((trace.total_rate() - trace.log_px).mean().item())
    return history


def discs(number: int, shape: tuple[int, int, int]) -> Batch:
    """Bright discs at random places."""
    generator = torch.Generator().manual_seed(0)
    centre = 8 + 12 * torch.rand(number, 2, 1, 1, 1, generator=generator)
    rows, columns = torch.meshgrid(torch.arange(shape[1]), torch.arange(shape[2]), indexing="ij")
    inside = (rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2 < 25
    return Batch(inside.float().expand(-1, *shape).contiguous())


@pytest.mark.parametrize(("base", "shape"), [(DEEP, (1, 28, 28)), (COLOUR, (3, 32, 32))], ids=["20_groups", "colour"])
def test_deep_hierarchies_learn(base: dict[str, Any], shape: tuple[int, int, int]):
    history = train(deep(base, shape), 30, discs(8, shape), 8)
    assert all(math.isfinite(value) for value in history)
    assert sum(history[-5:]) < 0.6 * sum(history[:5])


@pytest.mark.slow
def test_twenty_groups_train_without_spikes():
    history = train(deep(), 2000, discs(512, (1, 28, 28)), 16)
    assert all(math.isfinite(value) for value in history)
    late = history[500:]
    assert max(late) < 3 * sum(late[:100]) / 100, "a spike"
    assert sum(history[-100:]) / 100 < 30
