"""Hamiltonian draws: the weights are unbiased, the accounting exact, the gradients those of finite differences."""

from __future__ import annotations

import math

import pytest
import torch

from distributions.latent_examples import BATCH, hamiltonian
from vaelab.distributions import DiagonalNormal, HamiltonianNormal
from vaelab.errors import NoDensityError

DTYPE = torch.float64


def moved(number: int, step: float = 0.3, root_temper: float = 0.6, steps: int = 4, spread: float = 0.0):
    """Draws from a normal around 0, moved towards an unnormalised normal around 1 with the scale 0.7."""
    base = DiagonalNormal.from_log_scale(*torch.zeros(2, number, 2, dtype=DTYPE))

    def log_target(z: torch.Tensor) -> torch.Tensor:
        return -0.5 * ((z - 1) / 0.7).square().sum(-1) + spread * z.sin().sum(-1)

    size = torch.full((2,), step, dtype=DTYPE)
    return HamiltonianNormal(base, log_target, size, torch.full_like(size, root_temper), steps), log_target


@pytest.mark.parametrize("root_temper", [0.4, 1.0])
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("step", [0.05, 0.3])
def test_weights_estimate_the_normaliser_without_bias(step: float, steps: int, root_temper: float):
    q, log_target = moved(100_000, step, root_temper, steps)
    z, log_q, _ = q.draw()
    weight = (log_target(z) - log_q).exp()
    exact = 2 * math.pi * 0.7**2
    assert abs(weight.mean() - exact) < 5 * weight.std() / 100_000**0.5


def test_steps_tighten_the_bound():
    still, log_target = moved(20_000, 1e-6)
    on_the_way, _ = moved(20_000, 0.3)
    log_normaliser = math.log(2 * math.pi * 0.7**2)
    bounds = []
    for q in (still, on_the_way):
        z, log_q, _ = q.draw()
        bounds.append((log_target(z) - log_q).mean().item())
    assert bounds[0] + 0.5 < bounds[1] < log_normaliser + 0.02


def test_steps_of_no_size_leave_the_normal():
    q, _ = moved(1000, 0.0)
    z, log_q, _ = q.draw()
    torch.testing.assert_close(log_q, q.base.log_prob(z))


def test_the_map_of_position_and_momentum_preserves_volume(monkeypatch: pytest.MonkeyPatch):
    """log q is log q0 plus the momentum's log-density before, less the one after, and no determinant beside them."""
    q, _ = moved(1, spread=0.5)

    def whole(start: torch.Tensor) -> torch.Tensor:
        position, momentum = start.chunk(2)
        monkeypatch.setattr(torch, "randn_like", lambda _: momentum.unsqueeze(0))
        after: list[torch.Tensor] = []
        monkeypatch.setattr(q, "_kinetic", lambda rho: after.append(rho) or rho.sum(-1))
        z = q._move(position.unsqueeze(0)).z
        return torch.cat([z[0], after[-1][0]])

    jacobian = torch.autograd.functional.jacobian(whole, torch.randn(4, dtype=DTYPE))
    assert torch.linalg.det(jacobian).item() == pytest.approx(1.0, abs=1e-10)


def test_gradients_against_finite_differences():
    q, log_target = moved(3, spread=0.5)

    def bound(size: torch.Tensor, temper: torch.Tensor, loc: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(7)
        base = DiagonalNormal.from_log_scale(q.base.loc + loc, q.base.log_scale)
        z, log_q, _ = HamiltonianNormal(base, log_target, size, temper.expand(2), 3).draw()
        return (log_target(z) - log_q).sum()

    leaves = (q.step_size.clone(), torch.tensor(0.6, dtype=DTYPE), torch.randn(2, dtype=DTYPE))
    assert torch.autograd.gradcheck(bound, tuple(leaf.requires_grad_() for leaf in leaves))


def test_draws_are_the_same_without_gradients():
    q, _ = moved(5)
    torch.manual_seed(1)
    z, log_q, _ = q.draw()
    torch.manual_seed(1)
    with torch.no_grad():
        again = q.draw()
    torch.testing.assert_close(again.z, z)
    torch.testing.assert_close(again.log_q, log_q)
    assert not again.z.requires_grad


def test_other_points_have_no_density():
    q = hamiltonian(4)
    z, log_q, _ = q.draw()
    assert log_q is not None
    assert log_q.shape == BATCH
    assert q.has_density
    with pytest.raises(NoDensityError, match="its own draws only"):
        q.log_prob(z)
