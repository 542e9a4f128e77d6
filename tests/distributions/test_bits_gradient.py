"""The gradient of many bits, written by hand, against torch's cross-entropy."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vaelab.distributions import Bernoulli
from vaelab.distributions.pixels import _MANY


@pytest.mark.parametrize(("shape", "event_ndim"), [((1, 100, 1, 28, 28), 3), ((3, 200, 120), 1), ((2, _MANY), 0)])
@pytest.mark.parametrize("grey", [False, True], ids=["bits", "grey"])
def test_value_and_gradient(shape: tuple[int, ...], event_ndim: int, grey: bool) -> None:
    logits = (6 * torch.randn(shape)).requires_grad_()
    value = torch.rand(1, *shape[1:])
    value = value if grey else (value < 0.3).float()
    weight = torch.rand(shape[: len(shape) - event_ndim])
    assert logits.numel() >= _MANY
    ours = Bernoulli(logits, event_ndim).log_prob(value)
    (gradient,) = torch.autograd.grad((weight * ours).sum(), logits)
    exact = logits.detach().double().requires_grad_()
    terms = -F.binary_cross_entropy_with_logits(exact, value.double().expand(shape), reduction="none")
    theirs = terms.flatten(len(shape) - event_ndim).sum(-1) if event_ndim else terms
    (expected,) = torch.autograd.grad((weight.double() * theirs).sum(), exact)
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-5, atol=1e-6)


def test_gradient_of_the_gradient() -> None:
    logits = torch.randn(1, 100, 700, requires_grad=True)
    value = (torch.rand(1, 100, 700) < 0.5).float()
    (gradient,) = torch.autograd.grad(Bernoulli(logits).log_prob(value).sum(), logits, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), logits)
    p = logits.detach().sigmoid()
    torch.testing.assert_close(second, -p * (1 - p))


def test_less_precise_logits_are_scored_in_the_precision_of_the_data() -> None:
    logits = torch.randn(1, 100, 784, dtype=torch.bfloat16, requires_grad=True)
    value = (torch.rand(1, 100, 784) < 0.5).float()
    scored = Bernoulli(logits).log_prob(value)
    expected = -F.binary_cross_entropy_with_logits(logits.float(), value, reduction="none").sum(-1)
    torch.testing.assert_close(scored, expected)
    scored.sum().backward()
    assert logits.grad is not None
    assert logits.grad.dtype == torch.bfloat16
