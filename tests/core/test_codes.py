"""Vector quantisation: straight-through gradient, penalty, running means."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from core.models import CODES, bits, model_and
from vaelab.model import VAE
from vaelab.types import State, StepContext


class Given(nn.Module):
    """A head that yields what it was given."""

    def __init__(self, z_e: Tensor) -> None:
        super().__init__()
        self.z_e = z_e

    def forward(self, feature: Tensor, context: Tensor | None) -> Tensor:
        return self.z_e


def with_features(z_e: Tensor, mode: str = "eval", **posterior: object) -> VAE:
    """A model of codes whose features are these, whatever the data."""
    model, _ = model_and("elbo", CODES, posterior={"kind": "vq", **posterior})
    model = model.to(z_e.dtype)
    model.train(mode == "train")
    model.posterior.heads[0] = Given(z_e)
    return model


def posterior(model: VAE, samples: int, number: int):
    return model.posterior.group(0, (torch.zeros(number, 1),), State((samples, number)), None)


def nearest(model: VAE, z_e: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest codes `[K, B, D, H, W]` and their indices, by brute force."""
    book = model.posterior.books[0].codebook
    vectors = z_e.movedim(2, -1)
    index = (vectors.unsqueeze(-2) - book).square().sum(-1).argmin(-1)
    return book[index].movedim(-1, 2), index


@pytest.fixture
def z_e() -> Tensor:
    return torch.randn(1, 6, 4, 2, 2)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_sample_is_the_nearest_code(z_e: Tensor, mode: str):
    model = with_features(z_e, mode)
    codes, index = nearest(model, z_e)
    q = posterior(model, 1, 6)
    torch.testing.assert_close(q.draw().z, codes, rtol=1e-5, atol=1e-6)
    assert torch.equal(q.index, index)


def test_lookup_is_the_inverse_of_the_choice(z_e: Tensor):
    model = with_features(z_e)
    q = posterior(model, 1, 6)
    torch.testing.assert_close(model.posterior.lookup(0, q.index), q.draw().z, rtol=1e-5, atol=1e-6)


def test_gradient_goes_straight_through(z_e: Tensor):
    z_e.requires_grad_()
    model = with_features(z_e, "train")
    z = posterior(model, 1, 6).draw().z

    def score(value: Tensor) -> Tensor:
        return (value.sin() * torch.linspace(1, 2, value.numel()).view_as(value)).sum()

    (through,) = torch.autograd.grad(score(z), z_e)
    at_code = z.detach().clone().requires_grad_()
    (expected,) = torch.autograd.grad(score(at_code), at_code)
    torch.testing.assert_close(through, expected)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_features_that_differ_between_samples_are_quantised_each(mode: str):
    """A code below other groups sees their samples, so that its features have K copies."""
    z_e = torch.randn(3, 6, 4, 2, 2)
    model = with_features(z_e, mode)
    codes, index = nearest(model, z_e)
    q = posterior(model, 3, 6)
    torch.testing.assert_close(q.draw().z, codes, rtol=1e-5, atol=1e-6)
    assert torch.equal(q.index, index)
    torch.testing.assert_close(q.draw().penalty, 0.25 * (z_e - codes).square().sum((2, 3, 4)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("beta", [0.25, 0.0, 1.0])
def test_penalty_by_hand(z_e: Tensor, mode: str, beta: float):
    z_e.requires_grad_()
    model = with_features(z_e, mode, commitment=beta)
    codes, _ = nearest(model, z_e.detach())
    penalty = posterior(model, 1, 6).draw().penalty
    assert penalty is not None
    expected = beta * (z_e - codes).square().sum((2, 3, 4))
    torch.testing.assert_close(penalty, expected, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(penalty.sum(), z_e)
    torch.testing.assert_close(gradient, (2 * beta * (z_e - codes)).detach(), rtol=1e-4, atol=1e-5)


def test_codes_move_in_training_only(z_e: Tensor):
    model = with_features(z_e, "eval")
    book = model.posterior.books[0].codebook.clone()
    for _ in range(3):
        posterior(model, 1, 6)
    assert torch.equal(model.posterior.books[0].codebook, book)
    model.train()
    posterior(model, 1, 6)
    assert not torch.equal(model.posterior.books[0].codebook, book)


def test_codes_become_the_means_of_what_chose_them():
    """Features in two tight clusters, at two codes: the running means arrive at the clusters' means."""
    torch.manual_seed(2)
    centres = torch.tensor([[3.0, 0, 0, 0], [-3.0, 0, 0, 0]])
    z_e = centres[torch.arange(4) % 2].view(1, 1, 2, 2, 4).movedim(-1, 2).expand(1, 6, 4, 2, 2).contiguous()
    model = with_features(z_e, "train", decay=0.5, threshold_dead=None)
    for _ in range(60):
        posterior(model, 1, 6)
    book = model.posterior.books[0].codebook
    for centre in centres:
        assert (book - centre).square().sum(-1).min() < 1e-3


def test_dead_codes_come_back_to_life(z_e: Tensor):
    model = with_features(z_e, "train", threshold_dead=2)
    far = 100 + torch.zeros_like(model.posterior.books[0].codebook)
    model.posterior.books[0]._codebook.embed.data.copy_(far.unsqueeze(0))
    model.posterior.books[0]._codebook.embed[0, 0] = z_e[0, 0, :, 0, 0]
    for _ in range(200):
        posterior(model, 1, 6)
    used = posterior(model, 1, 6).index.unique()
    assert len(used) > 1


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_samples_share_the_deterministic_choice(mode: str):
    model, _ = model_and("elbo", CODES)
    model.train(mode == "train")
    trace = model.infer(bits(), 3)
    group = trace.groups[0]
    assert group.z.shape == (3, 6, 4, 2, 2)
    assert torch.equal(group.z[0], group.z[2])
    assert group.penalty is not None
    assert group.penalty.shape == (3, 6)
    torch.testing.assert_close(trace.total_rate(), torch.full((3, 6), 4 * math.log(8)))


def test_commitment_term_is_the_mean_of_the_penalty():
    model, objective = model_and({"kind": "elbo", "samples": 3, "divergences": ["kl", "commitment"]}, CODES)
    model.eval()
    penalty = model.infer(bits(), 3).groups[0].penalty
    assert penalty is not None
    terms = objective(model, bits(), StepContext())["model"].terms
    torch.testing.assert_close(terms["commitment"], penalty.mean(0))


def test_samples_from_the_prior_are_codes():
    model, _ = model_and("elbo", CODES)
    model.eval()
    z = model.generate(50).zs[0]
    codes, _ = nearest(model, z.unsqueeze(0))
    torch.testing.assert_close(codes[0], z)
    assert not torch.equal(z[0], z[1])
