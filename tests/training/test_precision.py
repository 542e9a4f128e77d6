"""Layers in bfloat16: what is rounded, and what must not be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vaelab.distributions import Bernoulli
from vaelab.distributions.base import parameters_of
from vaelab.inference import Trace
from vaelab.training import Trainer
from vaelab.training.precision import LayersInBfloat16

Make = Callable[..., tuple[Trainer, Any]]


def trace_of(trainer: Trainer, samples: int = 5) -> Trace:
    batch = next(iter(trainer.data.train.batches(torch.arange(10), 10)))
    torch.manual_seed(0)
    return trainer.model.infer(batch, samples)


def rounded(tensor: Tensor) -> bool:
    return torch.equal(tensor, tensor.bfloat16().to(tensor.dtype))


@pytest.mark.parametrize("model", ["flat", "codes", "hierarchy"])
def test_layers_are_rounded_and_densities_are_not(make_trainer: Make, model: str) -> None:
    trainer, _ = make_trainer(model, "codes" if model == "codes" else "elbo", precision="bfloat16")
    with trainer.update.precision():
        trace = trace_of(trainer)
        log_px = trace.log_px
        rates = [trace.rate(i) for i in range(len(trace.groups))]
    assert isinstance(trace.likelihood, Bernoulli)
    assert rounded(trace.likelihood.logits)
    distributions = [trace.likelihood, *(d for group in trace.groups for d in (group.p, group.q) if d is not None)]
    assert {p.dtype for d in distributions for p in parameters_of(d) if p.is_floating_point()} == {torch.float32}
    # autocast around the whole pass made these multiples of a half
    exact = Bernoulli(trace.likelihood.logits.double(), trace.likelihood.event_ndim).log_prob(
        trace.x.double().unsqueeze(0)
    )
    torch.testing.assert_close(log_px.double(), exact, rtol=1e-6, atol=1e-5)
    assert not rounded(log_px)
    assert {rate.dtype for rate in rates} == {torch.float32}


def test_importance_weights_are_those_of_the_same_draws(make_trainer: Make) -> None:
    trainer, _ = make_trainer("flat", "iwae", precision="bfloat16")
    with trainer.update.precision():
        trace = trace_of(trainer)
        ours = trace.log_weight
    (group,) = trace.groups
    assert group.q is not None
    double = [d.map(lambda tensor, event_ndim: tensor.double()) for d in (trace.likelihood, group.p, group.q)]
    log_px = double[0].log_prob(trace.x.double().unsqueeze(0))
    log_p, log_q = (d.log_prob(group.z.double()) for d in double[1:])
    torch.testing.assert_close(ours.double(), log_px + log_p - log_q, rtol=1e-6, atol=1e-5)


def test_outside_a_step_nothing_is_rounded(make_trainer: Make) -> None:
    trainer, _ = make_trainer(epochs=1, precision="bfloat16")
    trainer.train()
    plain, _ = make_trainer(epochs=1)
    plain.model.load_state_dict(trainer.model.state_dict())
    ours, theirs = trace_of(trainer), trace_of(plain)
    assert not rounded(ours.log_px)
    assert torch.equal(ours.log_px, theirs.log_px)


def test_blocks_that_run_again_are_rounded_again(make_trainer: Make) -> None:
    ends = []
    for again in (False, True):
        trainer, _ = make_trainer(
            "hierarchy", folder=str(again), epochs=1, precision="bfloat16", gradient_checkpointing=again
        )
        torch.manual_seed(0)
        trainer.train()
        ends.append(trainer.model.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_layers_that_return_several_tensors() -> None:
    gru = nn.GRU(3, 4)
    precision = LayersInBfloat16(gru, torch.device("cpu"))
    x = torch.randn(5, 2, 3)
    exact, _ = gru(x)
    with precision():
        out, last = gru(x)
    assert out.dtype == last.dtype == torch.float32
    assert not torch.equal(out, exact)
    torch.testing.assert_close(out, exact, rtol=0.05, atol=0.02)


def test_what_is_written_by_hand_is_not_rounded() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.scale = nn.Parameter(torch.randn(8, 8))

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(x) @ self.scale
            return out

    module = Scaled()
    precision = LayersInBfloat16(module, torch.device("cpu"))
    x = torch.randn(3, 8)
    with precision():
        inner, outer = module.layer(x), module(x)
    assert rounded(inner)
    assert not rounded(outer)
    assert torch.equal(outer, inner @ module.scale)
