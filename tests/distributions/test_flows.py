"""Invertible maps: inverse, log-determinant and gradients against autograd, and densities that integrate to one."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from distributions.latent_examples import flow, steps
from vaelab.distributions import DiagonalNormal, NormalFlow
from vaelab.nets.flows import Planar, Radial

KINDS = pytest.mark.parametrize("kind", ["planar", "radial", "shared", "affine", "spline", "inverted"])


def inputs(kind: str, size: int = 4) -> tuple:
    stack = steps(kind, size)
    z = torch.randn(5, size, dtype=torch.float64)
    return stack, z, 2 * torch.randn(5, stack.parameter_size, dtype=torch.float64)


@KINDS
@pytest.mark.parametrize("size", [1, 4])
def test_inverse(kind: str, size: int):
    stack, z, parameters = inputs(kind, size)
    image, log_det = stack(z, parameters)
    back, log_det_back = stack(image, parameters, True)
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(log_det_back, -log_det)
    assert not torch.allclose(image, z)


@KINDS
@pytest.mark.parametrize("inverse", [False, True])
def test_log_determinant_is_that_of_the_jacobian(kind: str, inverse: bool):
    stack, z, parameters = inputs(kind)
    _, log_det = stack(z, parameters, inverse)
    for i in range(len(z)):
        jacobian = torch.autograd.functional.jacobian(lambda at, i=i: stack(at, parameters[i], inverse)[0], z[i])
        torch.testing.assert_close(log_det[i], torch.linalg.slogdet(jacobian)[1])


@pytest.mark.parametrize("step", [Planar(3), Radial(3)], ids=["planar", "radial"])
@pytest.mark.parametrize("inverse", [False, True])
def test_gradients_of_both_directions(step, inverse: bool):
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    parameters = torch.randn(4, step.parameter_size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: step(a, b, inverse), (z, parameters))


@pytest.mark.parametrize("slope", [-1 + 1e-6, -0.99, -0.5, 0.0, 1.0, 30.0, 1e4])
def test_a_planar_step_is_inverted_where_it_is_nearly_flat_and_where_it_is_steep(slope: float):
    z = (torch.logspace(-6, 3, 400, dtype=torch.float64) * torch.tensor([[1.0], [-1.0]])).reshape(-1, 1)
    shifted = torch.tensor(slope + 1, dtype=torch.float64)
    u = shifted + (-torch.expm1(-shifted)).log()  # of which the step makes `slope`, as w is 1
    parameters = torch.stack([u, torch.ones_like(u), torch.zeros_like(u)]).expand(len(z), 3)
    image, _ = Planar(1)(z, parameters)
    found, _ = Planar(1)(image, parameters, True)
    again, _ = Planar(1)(found, parameters)
    assert (again - image).abs().le(1e-12 * (1 + abs(slope) + image.abs())).all()
    if slope > -0.9:  # else the root is badly conditioned, not the method
        torch.testing.assert_close(found, z, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("step", [Planar(3), Radial(3)], ids=["planar", "radial"])
@pytest.mark.parametrize("size", [0.0, 1e-3, 10.0, 300.0])
def test_extreme_parameters_stay_invertible_and_finite(step, size: float):
    z = torch.randn(50, 3)
    parameters = (size * torch.randn(50, step.parameter_size)).requires_grad_()
    image, log_det = step(z, parameters)
    back, _ = step(image, parameters, True)
    assert torch.isfinite(log_det).all()
    assert torch.isfinite(back).all()
    (log_det.sum() + image.sum() + back.sum()).backward()
    assert torch.isfinite(parameters.grad).all()


@pytest.mark.parametrize("kind", ["planar", "radial", "affine", "spline"])
def test_density_integrates_to_one(kind: str):
    q = flow(kind, 2).map(lambda tensor, n: tensor[0, 0])
    edge = torch.linspace(-20, 20, 401, dtype=torch.float64)
    with torch.no_grad():
        density = torch.stack([q.log_prob(torch.cartesian_prod(edge[i : i + 1], edge)).exp() for i in range(len(edge))])
    mass = density.sum() * (edge[1] - edge[0]) ** 2
    assert mass.item() == pytest.approx(1.0, abs=2e-3)


@KINDS
def test_a_draw_brings_the_density_of_its_point(kind: str):
    q = flow(kind, 4)
    z, log_q, _ = q.draw()
    torch.testing.assert_close(log_q, q.log_prob(z))


def test_without_steps_of_any_size_it_is_its_base():
    q = flow("planar", 4)
    still = NormalFlow(q.base, q.flow, torch.zeros_like(q.parameters))
    z = torch.randn_like(q.base.loc)
    torch.testing.assert_close(still.log_prob(z), q.base.log_prob(z))


@pytest.mark.parametrize("kind", ["shared", "affine", "spline"])
def test_detached_stops_the_weights_of_the_map(kind: str):
    q = flow(kind, 4)
    value = q.sample().requires_grad_()
    score = q.detached().log_prob(value).sum()
    weights = list(q.flow.parameters())
    gradients = torch.autograd.grad(score, [value, *weights], allow_unused=True)
    assert gradients[0] is not None
    assert all(gradient is None for gradient in gradients[1:])
    through = torch.autograd.grad(q.log_prob(value).sum(), [value, *weights], allow_unused=True)
    torch.testing.assert_close(through[0], gradients[0])
    assert all(gradient is not None for gradient in through[1:])
    assert q.detached().map(lambda tensor, n: tensor).frozen, "what is made of it stays detached"


def test_the_gradient_of_a_draw_by_the_base_against_finite_differences():
    q = flow("affine", 3)

    def total(shift: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(2)
        base = DiagonalNormal.from_log_scale(q.base.loc + shift, q.base.log_scale)
        z, log_q, _ = NormalFlow(base, q.flow, q.parameters).draw()
        return (z.square().sum(-1) + log_q).sum()

    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(total, (shift,))


def test_temperature_scales_the_base():
    q = flow("planar", 4)
    torch.testing.assert_close(q.tempered(0.3).base.scale, 0.3 * q.base.scale)
    torch.testing.assert_close(q.tempered(0.3).centre, q.centre)


def test_zuko_does_not_switch_the_validation_of_torch_off():
    code = """
import torch
from torch.distributions import Distribution, Normal
before = Distribution._validate_args
from vaelab.nets.flows import Autoregressive
import sys
assert "zuko" not in sys.modules, "importing the flows does not import the library"
Autoregressive(3, 0, (8,), None, descending=False, inverted=False)
assert "zuko" in sys.modules
assert before and Distribution._validate_args is before
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
