"""The fused kernels called at once do what torch's optimisers do, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from vaelab.optimisers import Optimiser
from vaelab.registry import OPTIMISERS
from vaelab.types import StepContext


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "adam", "lr": {"kind": "linear", "start": 0.1, "end": 0.01, "steps": 5}},
        {"kind": "adam", "amsgrad": True, "weight_decay": 0.1, "beta1": 0.5},
        {"kind": "adamw", "eps": 1e-4},
    ],
)
def test_the_step_is_that_of_torch(config: dict[str, Any]) -> None:
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape)) for shape in ((7, 5), (5,), ())]
    theirs = [nn.Parameter(parameter.detach().clone()) for parameter in ours]
    optimiser: Optimiser[Any] = OPTIMISERS.build(OPTIMISERS._validate(config), ours)
    reference = OPTIMISERS.build(optimiser.config, theirs)
    for step in range(6):
        context = StepContext(step, 10, 10, 10)
        for a, b in zip(ours, theirs, strict=True):
            # one parameter has no gradient for a while
            a.grad = None if step == 3 and a.ndim == 1 else torch.randn_like(a)
            b.grad = None if a.grad is None else a.grad.clone()
        optimiser.step(context)
        reference.torch.param_groups[0]["lr"] = optimiser.lr
        reference.torch.step()
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a, b)
            assert reference.torch.state[b].keys() == optimiser.torch.state[a].keys()
    optimiser.clear()
    assert all(parameter.grad is None for parameter in ours)
