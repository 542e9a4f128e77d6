"""Pixels that depend on pixels: causality by perturbation, normalisation by enumeration, draws by frequency."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from distributions.examples import autoregressive
from vaelab.distributions import AutoregressivePixels, Bernoulli
from vaelab.nets.masked import MaskedConv2d, MaskedStack


def stack(kernel: int = 3, blocks: int = 1, channels: int = 2, out: int = 2) -> MaskedStack:
    torch.manual_seed(3)
    return MaskedStack(channels, 3, out, 4, kernel, blocks, "tanh").double()


def affected(net: MaskedStack, shape: tuple[int, int, int], at: tuple[int, int]) -> Tensor:
    """Which pixels' parameters change with the pixel at this place."""
    x, features = torch.randn(1, *shape, dtype=torch.float64), torch.randn(1, 3, *shape[1:], dtype=torch.float64)
    changed = x.clone()
    changed[..., at[0], at[1]] += 1
    return (net(x, features) != net(changed, features)).any(1)[0]


@pytest.mark.parametrize(("kernel", "blocks"), [(3, 0), (3, 2), (5, 1), (7, 3)])
def test_a_pixel_depends_on_those_before_it_alone(kernel: int, blocks: int):
    net, (height, width) = stack(kernel, blocks), (7, 5)
    for i, j in itertools.product(range(height), range(width)):
        changed = affected(net, (2, height, width), (i, j)).flatten()
        position = i * width + j
        assert not changed[: position + 1].any(), f"pixel {(i, j)} is seen by itself or by one before it"
        if j + 1 < width:
            assert changed[position + 1], "the next pixel sees it"


@pytest.mark.parametrize(("kernel", "blocks"), [(3, 0), (3, 2), (5, 1), (7, 0)])
def test_no_pixel_depends_on_one_out_of_reach(kernel: int, blocks: int):
    net, size = stack(kernel, blocks), 15
    changed = affected(net, (2, size, size), (7, 7))
    rows, columns = torch.where(changed)
    assert int((rows - 7).max()) == net.reach
    assert int((columns - 7).abs().max()) == net.reach


def test_features_enter_where_they_stand():
    net = stack(5, 0)
    x, features = torch.randn(1, 2, 6, 6, dtype=torch.float64), torch.randn(1, 3, 6, 6, dtype=torch.float64)
    moved = features.clone()
    moved[..., 2, 3] += 1
    changed = (net(x, features) != net(x, moved)).any(1)[0]
    assert changed.nonzero().tolist() == [[2, 3]]


def test_masks():
    first, later = MaskedConv2d(1, 1, 3, own=False).mask, MaskedConv2d(1, 1, 3, own=True).mask
    assert first.tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert later.tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]


def small(size: tuple[int, int] = (2, 2)) -> AutoregressivePixels:
    net = stack(3, 1, channels=1, out=1)
    torch.manual_seed(5)
    features = 2 * torch.randn(1, 3, *size, dtype=torch.float64)
    return AutoregressivePixels(features, 1, net, net.reach, lambda y: Bernoulli(y, 3), bits=True)


def every_picture(height: int, width: int) -> Tensor:
    bits = itertools.product((0.0, 1.0), repeat=height * width)
    return torch.tensor(list(bits), dtype=torch.float64).reshape(-1, 1, height, width)


def test_all_pictures_together_have_probability_one():
    mass = small((2, 3)).log_prob(every_picture(2, 3)).exp()
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-10)
    assert mass.std() > 1e-3, "and are not equally likely"


def test_draws_have_their_frequencies():
    density = small()
    expected = 4000 * density.log_prob(every_picture(2, 2)).exp().detach().numpy()
    draws = density.sample(torch.Size((4000,))).reshape(-1, 4)
    index = (draws @ torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)).long()
    counts = np.bincount(index.numpy(), minlength=16)
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected) + 3).all()


def test_a_walk_over_windows_is_the_whole_pass():
    """A draw runs the network on what is in reach only; the conditionals must be those of scoring."""
    net = stack(5, 2)
    features = torch.randn(1, 3, 11, 13, dtype=torch.float64)
    density = AutoregressivePixels(features, 2, net, net.reach, lambda y: Bernoulli(y, 3))
    x = torch.rand(1, 2, 11, 13, dtype=torch.float64).round()
    whole = net(x, features)
    for i, j, pixel in density._walk(x, features):
        assert isinstance(pixel, Bernoulli)
        torch.testing.assert_close(pixel.logits[..., 0, 0], whole[..., i, j])


def test_the_picture_follows_the_likeliest_bits():
    density = autoregressive()
    picture = density.mean
    assert torch.equal(density.mean, picture)
    # the conditional means of a picture of bits, given those bits
    network = density.network(picture.round().flatten(0, 1), density.features.flatten(0, 1))
    torch.testing.assert_close(picture.flatten(0, 1), network.sigmoid())
