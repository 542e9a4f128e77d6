"""SOAP against its algorithm written out, against Adam, and against a turn of the coordinates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vaelab.optimisers.soap import Rotated
from vaelab.registry import OPTIMISERS

_COMMON: dict[str, Any] = {
    "lr": 0.05,
    "weight_decay": 0.1,
    "betas": (0.9, 0.99),
    "eps": 1e-8,
    "shampoo_beta": 0.8,
    "frequency": 3,
    "max_dimension": 8,
}


def _written_out(weights: Tensor, gradients: list[Tensor], sides: tuple[bool, bool]) -> Tensor:
    """Algorithm 3 of the paper, with both means kept where it keeps them and the same refresh."""
    c, (beta1, beta2) = _COMMON, _COMMON["betas"]
    products = [(1 - c["shampoo_beta"]) * p for p in (gradients[0] @ gradients[0].T, gradients[0].T @ gradients[0])]
    bases = [
        torch.linalg.eigh(p)[1].flip(1) if used else torch.eye(len(p), dtype=p.dtype)
        for p, used in zip(products, sides, strict=True)
    ]
    mean, square = torch.zeros_like(weights), torch.zeros_like(weights)
    for t, gradient in enumerate(gradients[1:], 1):
        turned = bases[0].T @ gradient @ bases[1]
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * turned**2
        first = bases[0].T @ mean @ bases[1] / (1 - beta1**t)
        step = first / ((square / (1 - beta2**t)).sqrt() + c["eps"])
        weights = weights - c["lr"] * (bases[0] @ step @ bases[1].T + c["weight_decay"] * weights)
        for side, product in enumerate((gradient @ gradient.T, gradient.T @ gradient)):
            products[side] = c["shampoo_beta"] * products[side] + (1 - c["shampoo_beta"]) * product
        if t % c["frequency"] == 0:
            for side in (0, 1):
                if sides[side]:
                    order = torch.diag(bases[side].T @ products[side] @ bases[side]).argsort(descending=True)
                    square = square[order] if side == 0 else square[:, order]
                    bases[side] = torch.linalg.qr(products[side] @ bases[side][:, order])[0]
    return weights


@pytest.mark.parametrize(
    ("shape", "sides"),
    [((5, 7), (True, True)), ((5, 12), (True, False)), ((12, 5), (False, True)), ((4, 2, 3, 1), (True, True))],
)
def test_the_algorithm_written_out(shape: tuple[int, ...], sides: tuple[bool, bool]):
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.randn(shape, dtype=torch.float64))
    gradients = [torch.randn(shape, dtype=torch.float64) for _ in range(12)]
    expected = _written_out(parameter.detach().flatten(1), [g.flatten(1) for g in gradients], sides)
    optimiser = Rotated([parameter], **_COMMON)
    for number, gradient in enumerate(gradients):
        parameter.grad = gradient
        optimiser.step()
        if number == 6:  # a resumed training goes on from the saved state
            saved = optimiser.state_dict()
            optimiser = Rotated([parameter], **_COMMON)
            optimiser.load_state_dict(saved)
    torch.testing.assert_close(parameter.detach().flatten(1), expected)


@pytest.mark.parametrize("shape", [(), (6,), (1, 12), (9, 12)])
def test_without_a_basis_it_is_adamw(shape: tuple[int, ...]):
    torch.manual_seed(0)
    start, gradients = torch.randn(shape), [torch.randn(shape) for _ in range(5)]
    ends = []
    for make in (lambda p: Rotated(p, **_COMMON), lambda p: torch.optim.AdamW(p, 0.05, (0.9, 0.99), weight_decay=0.1)):
        parameter = nn.Parameter(start.clone())
        optimiser = make([parameter])
        for gradient in gradients:
            parameter.grad = gradient.clone()
            optimiser.step()
        ends.append(parameter.detach())
    torch.testing.assert_close(*ends)


def _descend(target: Tensor, left: Tensor, right: Tensor, steps: int, **changes: Any) -> Tensor:
    """Weights after steps down ½ |A (LᵀWR - T) B|², a bowl whose axes L and R turn."""
    bowl = [torch.logspace(0, -1.5, len(q), dtype=torch.float64) for q in (left, right)]
    weights = nn.Parameter(torch.zeros_like(target))
    optimiser = Rotated([weights], **{**_COMMON, "weight_decay": 0.0, **changes})
    for _ in range(steps):
        optimiser.zero_grad()
        error = bowl[0][:, None] * (left.T @ weights @ right - target) * bowl[1]
        (0.5 * error.square().sum()).backward()
        optimiser.step()
    return left.T @ weights.detach() @ right


def _turns() -> tuple[Tensor, list[Tensor], list[Tensor]]:
    torch.manual_seed(1)
    target = torch.randn(6, 6, dtype=torch.float64)
    turned = [torch.linalg.qr(torch.randn(n, n, dtype=torch.float64))[0] for n in target.shape]
    return target, [torch.eye(n, dtype=torch.float64) for n in target.shape], turned


def test_a_turn_of_the_coordinates_changes_nothing():
    target, plain, turned = _turns()
    straight, other = (_descend(target, *axes, 40, eps=1e-3) for axes in (plain, turned))
    torch.testing.assert_close(straight, other, rtol=1e-6, atol=1e-6)
    adam = [_descend(target, *axes, 40, eps=1e-3, max_dimension=1) for axes in (plain, turned)]
    assert (adam[0] - adam[1]).abs().max() > 0.1


def test_parameters_without_a_gradient_stay():
    used, unused = nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(3, 2))
    config = OPTIMISERS["soap"].config.model_validate({"kind": "soap"})
    optimiser = OPTIMISERS.build(config, [used, unused]).torch
    for _ in range(3):
        used.grad = torch.randn(3, 2)
        optimiser.step()
    assert bool((used != 1).all())
    assert bool((unused == 1).all())


def test_the_mean_of_a_gradient_that_stays_zero_becomes_zero():
    """It would fall to denormal numbers and rest there, which makes matrix products slow."""
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.randn(3, 12))
    optimiser = Rotated([parameter], **_COMMON)
    for step in range(1200):
        parameter.grad = torch.randn(3, 12)
        if step > 5:
            parameter.grad[:, :4] = 0
        optimiser.step()
    mean = optimiser.state[parameter]["mean"]
    assert (mean[:, :4] == 0).all()
    assert (mean[:, 4:] != 0).all()
