"""Small shapes drawn without jagged edges, from their distance to each pixel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

Outline = Literal["square", "ellipse", "heart"]


def square(x: Tensor, y: Tensor) -> Tensor:
    """Signed distance to a square inscribed in the unit circle."""
    half = math.sqrt(0.5)
    dx, dy = x.abs() - half, y.abs() - half
    outside = torch.hypot(dx.clamp_min(0), dy.clamp_min(0))
    return outside + torch.maximum(dx, dy).clamp_max(0)


def ellipse(x: Tensor, y: Tensor) -> Tensor:
    r"""Signed distance, to first order around the edge, to an ellipse with semi-axes 1 and 1/2.

    $f / \lVert\nabla f\rVert$ of $f = x^2 + 4y^2 - 1$; the sign is exact.
    """
    return (x.square() + 4 * y.square() - 1) / (2 * torch.hypot(x, 4 * y)).clamp_min(1e-6)


def heart(x: Tensor, y: Tensor) -> Tensor:
    """Signed distance to a heart inscribed in the unit circle, its tip down: a square on its corner with two discs.

    The discs' diameters are the two upper sides of the square. Exact outside, too near 0 deep inside.
    """
    # with sides of length 1, the smallest circle around both has this centre above the square's and this radius
    centre, radius = 0.18469903, 0.89180581
    x, y = x.abs() * radius, y * radius + centre
    root = math.sqrt(0.5)
    # the square in its own frame, by its symmetry in two axes
    dx, dy = ((x + y) * root).abs() - 0.5, ((x - y) * root).abs() - 0.5
    box = torch.hypot(dx.clamp_min(0), dy.clamp_min(0)) + torch.maximum(dx, dy).clamp_max(0)
    disc = torch.hypot(x - root / 2, y - root / 2) - 0.5
    return torch.minimum(box, disc) / radius


#: The distance to an outline of circumradius 1 around the origin, in a frame with y upwards.
OUTLINES: Mapping[Outline, Callable[[Tensor, Tensor], Tensor]] = {"square": square, "ellipse": ellipse, "heart": heart}


def draw(outline: Outline, centre: Tensor, radius: Tensor, angle: Tensor, size: int, largest: float) -> Tensor:
    r"""Pictures of one shape each, as coverages of pixels.

    A pixel at signed distance d (in pixels) from the edge is covered by $\min(\max(\frac12 - d, 0), 1)$. Only a window
    around the shape is computed.

    Args:
        outline: the shape.
        centre: `[B, 2]`, x to the right and y downwards, in units of the picture's side.
        radius: `[B]` circumradius, in the same unit.
        angle: `[B]` in radians, counter-clockwise.
        size: side of the picture in pixels.
        largest: no radius is larger.

    Returns:
        uint8 `[B, size * size]`, 255 where a pixel lies inside.
    """
    window = min(size, math.ceil(2 * (largest * size + 1)) + 1)
    corner = (centre * size - largest * size - 1).floor().long().clamp(0, size - window)
    pixels = corner.unsqueeze(2) + torch.arange(window, device=centre.device)  # [B, 2, window]
    offset = ((pixels + 0.5) / size - centre.unsqueeze(2)) / radius.view(-1, 1, 1)
    x, y = offset[:, 0].unsqueeze(1), -offset[:, 1].unsqueeze(2)
    cosine, sine = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    distance = OUTLINES[outline](cosine * x + sine * y, cosine * y - sine * x) * (radius * size).view(-1, 1, 1)
    level = (0.5 - distance).clamp_(0, 1).mul_(255).round_().to(torch.uint8)
    where = pixels[:, 1].unsqueeze(2) * size + pixels[:, 0].unsqueeze(1)
    canvas = torch.zeros(len(centre), size * size, dtype=torch.uint8, device=centre.device)
    return canvas.scatter_(1, where.flatten(1), level.flatten(1))
