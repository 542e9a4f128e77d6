"""The fused step does what torch's own does, bit for bit, and steps aside where something is out of the ordinary."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from vaelab.optimisers import Optimiser
from vaelab.registry import OPTIMISERS
from vaelab.types import StepContext

CASES = [
    {"kind": "adam", "lr": {"kind": "linear", "start": 0.1, "end": 0.01, "steps": 5}, "weight_decay": 0.1},
    {"kind": "adam", "amsgrad": True, "beta1": 0.5},
    {"kind": "adamw", "eps": 1e-3},
]


def _made(config: dict[str, Any]) -> tuple[nn.Module, Optimiser[Any]]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    optimiser: Optimiser[Any] = OPTIMISERS.build(OPTIMISERS._validate(config), module.parameters())
    return module, optimiser


def _step(module: nn.Module, optimiser: Optimiser[Any], number: int, *, plain: bool) -> None:
    optimiser.clear()
    module(torch.randn(4, 5, generator=torch.Generator().manual_seed(number))).square().sum().backward()
    if plain:
        optimiser.take = optimiser.torch.step
    if number == 4:  # a parameter without a gradient keeps its value and its count of steps
        next(module.parameters()).grad = None
    optimiser.step(StepContext(number, 10, 10))


@pytest.mark.parametrize("config", CASES, ids=["adam", "amsgrad", "adamw"])
def test_same_bits(config: dict[str, Any]) -> None:
    (left, ours), (right, theirs) = _made(config), _made(config)
    for number in range(9):
        _step(left, ours, number, plain=False)
        _step(right, theirs, number, plain=True)
        if number == 6:  # as after a checkpoint
            ours.torch.load_state_dict(ours.torch.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(left.parameters(), right.parameters(), strict=True))
    states = zip(ours.torch.state.values(), theirs.torch.state.values(), strict=True)
    assert all(torch.equal(a[name], b[name]) for a, b in states for name in a)


def test_hooks_are_called() -> None:
    module, optimiser = _made(CASES[1])
    seen = []
    for number in range(4):
        if number == 2:
            optimiser.torch.register_step_post_hook(lambda *_: seen.append(1))
        _step(module, optimiser, number, plain=False)
    assert len(seen) == 2
