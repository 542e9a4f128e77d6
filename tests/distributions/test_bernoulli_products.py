"""The sum that a Bernoulli takes without a gradient is the one that it takes with one."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vaelab.distributions.pixels import Bernoulli, ContinuousBernoulli


@pytest.mark.parametrize("shape", [(), (1,), (7,), (96,), (1, 28, 28), (3, 5, 4), (250,)])
@pytest.mark.parametrize("data", [1, 3])
@pytest.mark.parametrize("spread", [0.1, 5.0, 60.0])
def test_products_of_probabilities_are_the_cross_entropy(shape: tuple[int, ...], data: int, spread: float) -> None:
    logits = spread * torch.randn(4, data, *shape)
    x = (torch.rand(1, data, *shape) < 0.4).float()
    terms = F.binary_cross_entropy_with_logits(logits.double(), x.double().expand_as(logits), reduction="none")
    exact = -terms.flatten(2).sum(2) if shape else -terms
    found = Bernoulli(logits, len(shape)).log_prob(x)
    assert found.shape == (4, data)
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-4)
    double = Bernoulli(logits.double(), len(shape)).log_prob(x.double())
    torch.testing.assert_close(double, exact, rtol=1e-12, atol=1e-12)


def test_grey_levels_and_gradients_are_as_before() -> None:
    logits, x = torch.randn(2, 5, 30), torch.rand(5, 30)
    plain = Bernoulli(logits).log_prob(x)
    leaf = logits.clone().requires_grad_()
    value = Bernoulli(leaf).log_prob(x)
    torch.testing.assert_close(plain, value.detach(), rtol=1e-6, atol=1e-5)
    value.sum().backward()
    torch.testing.assert_close(leaf.grad, x - logits.sigmoid())
    assert not torch.allclose(ContinuousBernoulli(logits).log_prob(x), plain), "whose normaliser must not be lost"


def test_logits_that_are_certain_do_not_overflow() -> None:
    logits, x = torch.full((1, 1, 784), -1e4), torch.zeros(1, 784)
    assert Bernoulli(logits).log_prob(x).item() == 0.0
    assert Bernoulli(logits).log_prob(1 - x).item() == pytest.approx(-784e4)
