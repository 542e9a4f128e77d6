"""torch's optimisers without its compiler are the same optimisers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from vaelab.optimisers.eager import eager


@pytest.mark.parametrize(
    "kind",
    [torch.optim.Adam, torch.optim.AdamW, torch.optim.Adamax, torch.optim.RAdam, torch.optim.RMSprop, torch.optim.SGD],
)
def test_same_bits_state_and_hooks(kind: type[torch.optim.Optimizer]):
    trained = []
    for each in (kind, eager(kind)):
        torch.manual_seed(0)
        module = nn.Linear(4, 3)
        optimiser = each(module.parameters(), lr=0.1, weight_decay=0.1)
        seen = []
        optimiser.register_step_post_hook(lambda *_, seen=seen: seen.append(1))
        for number in range(4):
            optimiser.zero_grad()
            module(torch.randn(5, 4)).square().sum().backward()
            optimiser.step()
            if number == 1:
                optimiser.load_state_dict(optimiser.state_dict())
        assert len(seen) == 4
        assert all(p.requires_grad and p.grad_fn is None for p in module.parameters())
        trained.append([*module.parameters(), *(v for state in optimiser.state.values() for v in state.values())])
    assert len(trained[0]) == len(trained[1])
    assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(*trained, strict=True))


def test_a_training_does_not_import_the_compiler(tmp_path: Path):
    code = """
import sys, vaelab
model = {"encoder": {"kind": "mlp", "hidden": [4]}, "posterior": "diagonal_normal",
         "prior": {"kind": "standard_normal", "dim": 2}, "decoder": {"kind": "mlp", "hidden": [4]}, "likelihood": "bernoulli"}
vaelab.train({"name": "small", "data": {"kind": "digits", "binarisation": "threshold"}, "model": model,
              "objective": {"kind": "elbo", "divergences": ["kl"]}, "training": {"steps": 2, "batch_size": 8},
              "evaluation": {"metrics": ["negative_elbo"], "figures": [], "report": False}}, sys.argv[1])
print(sorted({"torch._dynamo", "sympy", "vaelab.priors.vrnn", "vaelab.metrics.dci"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
