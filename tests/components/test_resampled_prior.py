"""Learned accept/reject sampling: density, draws, the normaliser and its gradient."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from core.models import FLAT, bits, losses, model_and
from vaelab.distributions import DiagonalNormal, Mixture, Resampled, StandardNormal
from vaelab.errors import BuildError

GRID = torch.linspace(-8, 8, 4001, dtype=torch.float64).unsqueeze(1)
STEP = float(GRID[1] - GRID[0])


class Step(nn.Module):
    """Accepts with a logistic probability in the first number."""

    def __init__(self, slope: float = 3.0, shift: float = 2.0) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope, dtype=torch.float64))
        self.shift = shift

    def forward(self, z: Tensor) -> Tensor:
        return self.slope * z[:, :1] - self.shift


def exact(truncation: int, slope: float = 3.0) -> Resampled:
    """One number, with Z by quadrature."""
    base, accept = StandardNormal(torch.zeros(1, dtype=torch.float64)), Step(slope)
    with torch.no_grad():
        z = (base.log_prob(GRID).exp() * accept(GRID).squeeze(1).sigmoid()).sum() * STEP
    return Resampled(base, accept, z.log(), truncation)


@pytest.mark.parametrize("truncation", [1, 2, 5, 1000])
def test_density_integrates_to_one_and_draws_follow_it(truncation: int):
    torch.manual_seed(0)
    p = exact(truncation)
    with torch.no_grad():
        density = p.log_prob(GRID).exp()
    assert float(density.sum()) * STEP == pytest.approx(1, abs=1e-6)
    draws = p.sample(torch.Size((5000,))).squeeze(1).numpy()
    cdf = density.cumsum(0).numpy() * STEP
    assert scipy.stats.kstest(draws, lambda x: np.interp(x, GRID.squeeze(1).numpy(), cdf)).pvalue > 1e-3


def test_truncation_at_one_is_the_base_and_without_end_the_tilted_base():
    p, z = exact(1), torch.randn(50, 1, dtype=torch.float64)
    torch.testing.assert_close(p.log_prob(z), p.base.log_prob(z))
    p = exact(100_000)
    torch.testing.assert_close(p.log_prob(z), p.base.log_prob(z) + p.log_accept(z) - p.log_z)


def test_extreme_acceptance_stays_finite():
    for logit in (-200.0, 0.0, 200.0):
        base = StandardNormal(torch.zeros(1))
        accept = nn.Linear(1, 1)
        nn.init.zeros_(accept.weight)
        nn.init.constant_(accept.bias, logit)
        log_z = torch.nn.functional.logsigmoid(torch.tensor(max(logit, -80.0)))
        log_prob = Resampled(base, accept, log_z, 100).log_prob(torch.zeros(3, 1))
        # a constant acceptance changes nothing
        torch.testing.assert_close(log_prob, base.log_prob(torch.zeros(3, 1)), atol=1e-4, rtol=0)
        log_prob.sum().backward()
        assert torch.isfinite(accept.bias.grad).all()


def prior_of(training: bool, **config: Any):
    prior = {"kind": "resampled", "base": {"kind": "standard_normal", "dim": 1}, "hidden": [8], **config}
    model, objective = model_and("elbo", FLAT, prior=prior)
    model = model.double().train(training)
    with torch.no_grad():
        model.prior.accept[0].weight.mul_(4)
        model.prior.accept[2].weight.mul_(4)
    return model, objective


def z_of(model) -> Tensor:
    base = StandardNormal(torch.zeros(1, dtype=torch.float64))
    return (base.log_prob(GRID).exp() * model.prior.accept(GRID).squeeze(1).sigmoid()).sum() * STEP


def test_evaluation_knows_the_normaliser_and_leaves_the_noise_alone():
    model, _ = prior_of(False)
    model.train().eval()  # the weights were changed behind its back
    torch.manual_seed(5)
    before = torch.get_rng_state()
    log_z = model.prior.group(0, model.prior.initial((1, 1))).log_z
    assert torch.equal(torch.get_rng_state(), before)
    exact_z = z_of(model).item()
    assert log_z.exp().item() == pytest.approx(exact_z, abs=5 * 0.5 / 2**8)
    # estimated once, and anew when the weights have changed
    assert model.prior.group(0, model.prior.initial((1, 1))).log_z is log_z
    with torch.no_grad():
        model.prior.accept[2].bias.add_(1)
    changed = model.prior.group(0, model.prior.initial((1, 1))).log_z
    assert changed.exp().item() == pytest.approx(z_of(model).item(), abs=5 * 0.5 / 2**8)
    assert changed > log_z


def test_training_has_the_running_mean_with_the_gradient_of_the_estimate():
    model, _ = prior_of(True, samples=200_000, decay=0.9)
    state = model.prior.initial((1, 1))
    start = model.prior.mean_z.item()
    log_z = model.prior.group(0, state).log_z
    exact_z = z_of(model)
    assert model.prior.mean_z.item() == pytest.approx(0.9 * start + 0.1 * exact_z.item(), abs=1e-3)
    assert log_z.item() == pytest.approx(math.log(model.prior.mean_z.item()))
    parameters = list(model.prior.accept.parameters())
    gradients = torch.autograd.grad(log_z, parameters)
    expected = torch.autograd.grad(exact_z.log(), parameters)
    for gradient, right in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, right, atol=0.01, rtol=0.05)


def test_normaliser_is_differentiated_through_a_learned_base():
    base = {"kind": "mixture", "dim": 1, "components": 2}
    model, _ = prior_of(True, base=base, samples=200_000)
    mixture = model.prior.base
    p = model.prior.group(0, model.prior.initial((1, 1)))
    parameters = [mixture.loc, mixture.logits]
    gradients = torch.autograd.grad(p.log_z, parameters)
    density = mixture.distribution()
    assert isinstance(density, Mixture)
    z = (density.log_prob(GRID).exp() * model.prior.accept(GRID).squeeze(1).sigmoid()).sum() * STEP
    for gradient, right in zip(gradients, torch.autograd.grad(z.log(), parameters), strict=True):
        torch.testing.assert_close(gradient, right, atol=0.01, rtol=0.05)


def test_detached_density_still_has_a_gradient_in_z():
    p = exact(5).detached()
    z = torch.randn(7, 1, dtype=torch.float64, requires_grad=True)
    p.log_prob(z).sum().backward()
    assert z.grad is not None
    assert p.accept.slope.grad is None
    torch.testing.assert_close(p.log_prob(z), exact(5).log_prob(z))


def test_learns_a_shape_that_its_base_lacks():
    """Draws of two separate modes: the resampled normal becomes more likely than any normal."""
    torch.manual_seed(0)
    model, _ = prior_of(True, samples=512, hidden=[32], decay=0.9)
    data = torch.cat([torch.randn(2000, 1) * 0.2 - 1, torch.randn(2000, 1) * 0.2 + 1]).double()
    normal = DiagonalNormal.from_log_scale(data.mean(0), data.std(0).log()).log_prob(data).mean()
    optimiser = torch.optim.Adam(model.prior.parameters(), lr=0.02)
    state = model.prior.initial((1, 1))
    for _ in range(300):
        optimiser.zero_grad()
        (-model.prior.group(0, state).log_prob(data).mean()).backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        p = model.prior.group(0, state)
        assert p.log_prob(data).mean() > normal + 0.3
        assert float(p.log_prob(GRID).exp().sum()) * STEP == pytest.approx(1, abs=0.02)


def test_trains_in_a_model_and_refuses_other_bases():
    model, objective = model_and("elbo", FLAT, prior={"kind": "resampled", "base": {"kind": "mixture", "dim": 4}})
    assert torch.isfinite(losses(objective, model, bits())).all()
    for base, what in itertools.product(({"kind": "categorical"}, {"kind": "markov_chain"}), ("prior 'resampled'",)):
        with pytest.raises(BuildError, match=f"{what} takes .* '{base['kind']}' has"):
            model_and("elbo", FLAT, prior={"kind": "resampled", "base": base})
