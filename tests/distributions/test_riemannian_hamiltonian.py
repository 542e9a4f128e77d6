"""Hamiltonian draws with a metric: the integrator is reversible and keeps volume, and the weights are unbiased."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from distributions.latent_examples import metric
from vaelab.distributions import DiagonalNormal, HamiltonianNormal, KernelMetric, RiemannianHamiltonianNormal

DTYPE = torch.float64
DIM = 3


def log_target(z: Tensor) -> Tensor:
    return -0.5 * ((z - 1) / 0.7).square().sum(-1) + 0.5 * z.sin().sum(-1)


def flat(z: Tensor) -> Tensor:
    """The inverse of the identity metric."""
    return torch.eye(z.shape[-1], dtype=z.dtype).expand(*z.shape, z.shape[-1])


def moved(
    number: int,
    inverse_metric: Callable[[Tensor], Tensor] | None = None,
    *,
    step: float | Tensor = 0.15,
    root_temper: float = 0.6,
    steps: int = 3,
    iterations: int = 40,
) -> RiemannianHamiltonianNormal:
    base = DiagonalNormal.from_log_scale(*torch.zeros(2, number, DIM, dtype=DTYPE))
    size = torch.as_tensor(step, dtype=DTYPE).expand(DIM)
    temper = torch.full((DIM,), root_temper, dtype=DTYPE)
    torch.manual_seed(4)
    inverse_metric = inverse_metric or metric(DIM).inverse
    return RiemannianHamiltonianNormal(base, log_target, size, temper, steps, inverse_metric, iterations)


def leap(q: RiemannianHamiltonianNormal, both: Tensor, sign: float = 1.0) -> Tensor:
    """Some steps of the integrator without tempering, on position and momentum in one tensor `[2 d]`."""
    z, momentum = both.unsqueeze(0).chunk(2, 1)
    momentum = sign * momentum
    inverse, force = q.inverse_metric(z), q._force(z)
    for _ in range(q.steps):
        z, momentum, inverse, force = q._leapfrog(z, momentum, inverse, force)
    return torch.cat([z, sign * momentum], 1)[0]


def test_the_metric_is_symmetric_positive_definite_and_flat_far_away():
    torch.manual_seed(0)
    learned = metric(DIM)
    inverse = learned.inverse(3 * torch.randn(50, DIM, dtype=DTYPE))
    assert torch.equal(inverse, inverse.mT)
    assert torch.linalg.eigvalsh(inverse).min() >= learned.regularisation - 1e-12
    far = learned.inverse(torch.full((DIM,), 100.0, dtype=DTYPE))
    torch.testing.assert_close(far, learned.regularisation * torch.eye(DIM, dtype=DTYPE))


def test_the_metric_by_its_formula():
    torch.manual_seed(0)
    learned, z = metric(DIM), torch.randn(DIM, dtype=DTYPE)
    total = 0.1 * torch.eye(DIM, dtype=DTYPE)
    for centroid, factor in zip(learned.centroids, learned.factors, strict=True):
        total = total + factor @ factor.T * math.exp(-(float((z - centroid).norm()) ** 2) / 1.5**2)
    torch.testing.assert_close(learned.inverse(z), total)


@pytest.mark.parametrize("steps", [1, 4])
def test_with_the_identity_for_a_metric_it_is_the_plain_dynamics(steps: int):
    q = moved(20, flat, step=torch.tensor([0.1, 0.2, 0.3]), steps=steps, iterations=1)
    plain = HamiltonianNormal(q.base, log_target, q.step_size, q.root_temper, steps)
    draws = []
    for distribution in (q, plain):
        torch.manual_seed(1)
        draws.append(distribution.draw())
    torch.testing.assert_close(draws[0].z, draws[1].z, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(draws[0].log_q, draws[1].log_q, rtol=1e-12, atol=1e-12)


def test_a_constant_metric_is_a_change_of_coordinates():
    """With G^-1 = A A^T the dynamics are the plain ones in coordinates y, z = A y."""
    torch.manual_seed(2)
    a = torch.randn(DIM, DIM, dtype=DTYPE).tril(-1) * 0.3 + torch.eye(DIM, dtype=DTYPE)
    q = moved(20, lambda z: (a @ a.T).expand(*z.shape, DIM), root_temper=0.7, iterations=1)

    class Fixed(DiagonalNormal):
        def rsample(self, sample_shape: object = ()) -> Tensor:
            return start

    start = torch.randn(20, DIM, dtype=DTYPE) @ torch.linalg.inv(a).T
    zeros = torch.zeros(20, DIM, dtype=DTYPE)
    plain = HamiltonianNormal(
        Fixed(zeros, zeros + 1, zeros, 1), lambda y: log_target(y @ a.T), q.step_size, q.root_temper, q.steps
    )
    torch.manual_seed(3)
    in_coordinates = plain.draw()
    torch.manual_seed(3)
    draw = q._move(start @ a.T)
    torch.testing.assert_close(draw.z, in_coordinates.z @ a.T)
    ours = draw.log_q - q.base.log_prob(start @ a.T)
    torch.testing.assert_close(ours, in_coordinates.log_q - plain.base.log_prob(start))


@pytest.mark.parametrize("step", [0.15, torch.tensor([0.05, 0.1, 0.2])], ids=["one", "by_component"])
def test_the_integrator_can_be_run_backwards(step: float | Tensor):
    q = moved(1, step=step)
    start = torch.randn(2 * DIM, dtype=DTYPE)
    with torch.no_grad():
        end = leap(q, start)
        assert (end - start).norm() > 0.1
        torch.testing.assert_close(leap(q, end, sign=-1.0), start, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("step", [0.15, torch.tensor([0.05, 0.1, 0.2])], ids=["one", "by_component"])
def test_the_integrator_preserves_volume(step: float | Tensor):
    q = moved(1, step=step)
    jacobian = torch.autograd.functional.jacobian(lambda both: leap(q, both), torch.randn(2 * DIM, dtype=DTYPE))
    assert (jacobian - torch.eye(2 * DIM)).abs().max() > 0.1
    assert torch.linalg.det(jacobian).item() == pytest.approx(1.0, abs=1e-10)


def test_too_few_iterations_change_volume_a_little():
    """What is left of it with the default of five, and without iterating: the accounting is as exact as the solution."""
    errors = []
    for iterations in (1, 5):
        torch.manual_seed(5)
        q = moved(1, iterations=iterations)
        jacobian = torch.autograd.functional.jacobian(
            lambda both, q=q: leap(q, both), torch.randn(2 * DIM, dtype=DTYPE)
        )
        errors.append(abs(torch.linalg.det(jacobian).item() - 1))
    assert errors[1] < 1e-3 < errors[0]


def test_small_steps_conserve_the_energy():
    q = moved(1, step=0.01, steps=50, iterations=10)

    def energy(both: Tensor) -> Tensor:
        z, momentum = both.chunk(2)
        inverse = q.inverse_metric(z)
        return -log_target(z) - 0.5 * torch.logdet(inverse) + 0.5 * momentum @ inverse @ momentum

    start = torch.randn(2 * DIM, dtype=DTYPE)
    with torch.no_grad():
        end = leap(q, start)
    assert abs(energy(end) - energy(start)) < 1e-3
    assert abs(log_target(end[:DIM]) - log_target(start[:DIM])) > 0.1


@pytest.mark.parametrize("root_temper", [0.4, 1.0])
def test_weights_estimate_the_normaliser_without_bias(root_temper: float):
    number = 40_000
    q = moved(number, root_temper=root_temper, iterations=8)
    with torch.no_grad():
        z, log_q, _ = q.draw()
    weight = (log_target(z) - log_q).exp()
    x = torch.linspace(-9, 11, 20_001, dtype=DTYPE).unsqueeze(-1)
    exact = (log_target(x).exp().sum() * 0.001) ** DIM  # the target is a product over components
    assert abs(weight.mean() - exact) < 5 * weight.std() / number**0.5
    # the test can tell: without the momentum's share the mean is far off
    assert abs((log_target(z) - q.base.log_prob(z)).exp().mean() - exact) > 5 * weight.std() / number**0.5


def test_gradients_against_finite_differences():
    q = moved(2)
    centroids, factors = torch.randn(3, DIM, dtype=DTYPE), 0.5 * torch.randn(3, DIM, DIM, dtype=DTYPE)

    def bound(size: Tensor, temper: Tensor, loc: Tensor, centroids: Tensor, factors: Tensor) -> Tensor:
        torch.manual_seed(7)
        base = DiagonalNormal.from_log_scale(q.base.loc + loc, q.base.log_scale)
        inverse = KernelMetric(centroids, factors, 1.5, 0.1).inverse
        z, log_q, _ = RiemannianHamiltonianNormal(base, log_target, size, temper.expand(DIM), 2, inverse, 12).draw()
        return (log_target(z) - log_q).sum()

    leaves = (q.step_size.clone(), torch.tensor(0.6, dtype=DTYPE), torch.randn(DIM, dtype=DTYPE), centroids, factors)
    assert torch.autograd.gradcheck(bound, tuple(leaf.requires_grad_() for leaf in leaves), fast_mode=True)


def test_draws_are_the_same_without_gradients():
    q = moved(5)
    torch.manual_seed(1)
    z, log_q, _ = q.draw()
    torch.manual_seed(1)
    with torch.no_grad():
        again = q.draw()
    torch.testing.assert_close(again.z, z)
    torch.testing.assert_close(again.log_q, log_q)
    assert not again.z.requires_grad
