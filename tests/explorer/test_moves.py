"""Ways from one latent to another: geodesics where the space has them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from vaelab.explorer.moves import between
from vaelab.model import VAE
from vaelab.types import GroupSpec, LatentSpec

PLACES = torch.linspace(0, 1, 5, dtype=torch.float64)


def model(support: Any, shape: tuple[int, ...] = (4,)) -> VAE:
    latent = LatentSpec((GroupSpec(shape, support),))
    return cast("VAE", SimpleNamespace(prior=SimpleNamespace(latent=latent)))


def hyperbolic(x: Tensor, y: Tensor, c: float) -> Tensor:
    """The distance in the ball by its own formula (Nickel & Kiela 2017, equation 1, scaled to curvature -c)."""
    gap = (x - y).square().sum(-1)
    inside = (1 - c * x.square().sum(-1)) * (1 - c * y.square().sum(-1))
    return torch.acosh(1 + 2 * c * gap / inside) / c**0.5


@pytest.mark.parametrize("c", [1.0, 0.5])
def test_in_the_ball_steps_are_equally_long(c: float):
    a, b = torch.tensor([[0.3, -0.5, 0.1, 0.2]]).double(), torch.tensor([[-0.6, 0.1, 0.4, 0.0]]).double()
    way = between(model("ball"), a, b, 0, PLACES, radius=c**-0.5)
    steps = hyperbolic(way[1:], way[:-1], c)
    torch.testing.assert_close(steps, steps[:1].expand(4))
    torch.testing.assert_close(steps.sum(), hyperbolic(a, b, c)[0], msg="no detour")
    torch.testing.assert_close(way[-1:], b)


@pytest.mark.parametrize("support", ["sphere", "real"])
def test_on_the_sphere_the_angle_grows_evenly(support: str):
    a, b = (torch.nn.functional.normalize(torch.randn(1, 4, dtype=torch.float64)) for _ in range(2))
    way = between(model(support), a, b, 0, PLACES, "spherical")
    torch.testing.assert_close(way.norm(dim=1), torch.ones(5, dtype=torch.float64))
    whole = torch.acos((a * b).sum())
    torch.testing.assert_close(torch.acos((way[1:] * way[:-1]).sum(1)), (whole / 4).expand(4))


def test_straight_lines_and_points_that_are_the_same():
    a, b = torch.zeros(1, 2, 3), torch.ones(1, 2, 3)
    way = between(model("real", (2, 3)), a, b, 0, torch.tensor([0.25]))
    assert torch.equal(way, torch.full((1, 2, 3), 0.25))
    torch.testing.assert_close(between(model("real"), b, b, 0, PLACES, "spherical"), torch.ones(5, 2, 3))


@pytest.mark.parametrize("support", ["bits", "one_hot"])
def test_what_differs_is_switched_once_from_the_first_to_the_last(support: str):
    first, last = torch.tensor([[0, 1, 0, 1, 1, 0]]), torch.tensor([[1, 1, 1, 0, 1, 1]])
    if support == "one_hot":
        ends = [torch.nn.functional.one_hot(side, 2).float() for side in (first, last)]
    else:
        ends = [side.float() for side in (first, last)]
    way = between(model(support, ends[0].shape[1:]), *ends, 0, torch.linspace(0, 1, 5))
    numbers = way.argmax(-1) if support == "one_hot" else way.long()
    assert numbers.tolist() == [
        [0, 1, 0, 1, 1, 0],
        [1, 1, 0, 1, 1, 0],
        [1, 1, 1, 1, 1, 0],
        [1, 1, 1, 0, 1, 0],
        [1, 1, 1, 0, 1, 1],
    ]
