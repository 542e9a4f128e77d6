"""The second player: whose gradients are whose, and what its optimum is worth."""

from __future__ import annotations

import math

import pytest
import torch

from core.models import bits, model_and
from vaelab.distributions import StandardNormal
from vaelab.divergences.adversarial_tc import AdversarialTC, AdversarialTCConfig
from vaelab.inference import Group, Trace
from vaelab.types import Batch, BuildContext, DataSpec, GroupSpec, LatentSpec, StepContext

OBJECTIVE = {
    "kind": "elbo",
    "divergences": ["kl", {"kind": "adversarial_tc", "weight": 3.0, "hidden": [8]}],
}


def test_players_have_separate_gradients():
    model, objective = model_and(OBJECTIVE)
    players = objective.players(model)
    assert set(players) == {"model", "adversarial_tc"}
    theirs = {id(parameter) for parameter in players["adversarial_tc"]}
    assert not theirs & {id(parameter) for parameter in players["model"]}
    losses = objective(model, bits(), StepContext())

    torch.autograd.backward(losses["model"].value.mean(), inputs=players["model"], retain_graph=True)
    assert all(parameter.grad is None for parameter in players["adversarial_tc"])
    before = [parameter.grad.clone() for parameter in players["model"]]
    assert all(gradient.abs().sum() > 0 for gradient in before)

    torch.autograd.backward(losses["adversarial_tc"].value.mean(), inputs=players["adversarial_tc"])
    assert all(parameter.grad.abs().sum() > 0 for parameter in players["adversarial_tc"])
    for parameter, gradient in zip(players["model"], before, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_loss_of_the_adversary_does_not_reach_the_model():
    model, objective = model_and(OBJECTIVE)
    loss = objective(model, bits(), StepContext())["adversarial_tc"].value.mean()
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in gradients)


def test_its_term_reaches_the_encoder_through_the_sample():
    model, objective = model_and({"kind": "elbo", "divergences": [OBJECTIVE["divergences"][1]]})
    terms = objective(model, bits(), StepContext())["model"].terms
    gradients = torch.autograd.grad(terms["adversarial_tc"].mean(), list(model.encoder.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def trace_of(z: torch.Tensor) -> Trace:
    """A pass that drew these latents `[B, D]`."""
    p = StandardNormal(torch.zeros(z.shape[1]))
    return Trace(Batch(torch.zeros(len(z), 1)), [Group(z.unsqueeze(0), p)], p)


def term(hidden: tuple[int, ...], size: int) -> AdversarialTC:
    context = BuildContext(DataSpec((1,), "real"), LatentSpec((GroupSpec((size,)),)))
    return AdversarialTC(AdversarialTCConfig(hidden=hidden), context)


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_optimal_discriminator_gives_the_total_correlation(rho: float):
    torch.manual_seed(3)
    divergence = term((48, 48), 2)
    adversary = divergence.adversary
    assert adversary is not None
    optimiser = torch.optim.Adam(adversary.parameters(), lr=5e-3)

    def draw(number: int) -> torch.Tensor:
        noise = torch.randn(number, 2)
        return torch.stack([noise[:, 0], rho * noise[:, 0] + math.sqrt(1 - rho**2) * noise[:, 1]], 1)

    for _ in range(600):
        optimiser.zero_grad()
        adversary.loss(trace_of(draw(512)), StepContext()).mean().backward()
        optimiser.step()
    with torch.no_grad():
        value = divergence(trace_of(draw(20_000)), StepContext()).mean().item()
    assert value == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.06)


def test_adversary_loss_is_the_cross_entropy_of_real_and_shuffled():
    divergence = term((4,), 3)
    adversary = divergence.adversary
    assert adversary is not None
    z = torch.randn(9, 3)
    torch.manual_seed(1)
    loss = adversary.loss(trace_of(z), StepContext())
    torch.manual_seed(1)
    shuffled = torch.stack([z[torch.randperm(9), j] for j in range(3)], 1)
    for j in range(3):
        assert torch.equal(shuffled[:, j].sort().values, z[:, j].sort().values), "each marginal is kept"
    logits = torch.cat([adversary(z), adversary(shuffled)]).squeeze(1)
    target = torch.cat([torch.ones(9), torch.zeros(9)])
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    torch.testing.assert_close(loss, 0.5 * (each[:9] + each[9:]))
