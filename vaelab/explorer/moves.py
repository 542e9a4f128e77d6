"""Setting a unit of a latent, and the way from one latent to another, in each kind of latent space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vaelab.distributions.hyperbolic import from_tangent, to_tangent
from vaelab.errors import ConfigError
from vaelab.explorer.units import Units
from vaelab.model import VAE
from vaelab.types import GroupSpec


def moved(model: VAE, z: Tensor, units: Units, changes: Sequence[tuple[int, float]], radius: float = 1.0) -> Tensor:
    """A latent `[1, *event]` of one group with some units set, one after another.

    Args:
        model: whose latent it is.
        z: the latent; it is not changed.
        units: of its group.
        changes: units and their new values.
        radius: of a sphere or ball.

    Raises:
        ConfigError: there is no such unit, or no such value.
    """
    spec = model.prior.latent.groups[units.group]
    for unit, value in changes:
        if unit >= len(units.units):
            raise ConfigError(f"{units.name} has {len(units.units)} units, and no unit {unit}")
        if units.control != "number" and not (value == int(value) and 0 <= value <= max(units.choices - 1, 1)):
            raise ConfigError(
                f"unit {unit} of {units.name} takes whole numbers from 0 to {max(units.choices - 1, 1)}, not {value:g}"
            )
    if units.control == "code":
        return _with_codes(model, z, units.group, changes)
    z = z.clone()
    for unit, value in changes:
        _set(z, spec, unit, value, radius)
    return z


def _set(z: Tensor, spec: GroupSpec, unit: int, value: float, radius: float) -> None:
    if spec.support == "one_hot":
        row = z[0].view(-1, z.shape[-1])[unit]
        row.copy_(F.one_hot(torch.tensor(int(value)), len(row)).to(row))
    elif spec.support == "bits":
        z.view(-1)[unit] = value
    elif spec.support == "positive":
        # a map's channel is scaled, since a shift could make some of it negative
        z[0, unit] *= max(value, 1e-6) / z[0, unit].mean().clamp_min(1e-12)
    elif spec.support in ("sphere", "ball"):
        _set_within(z, unit, value, radius, whole=spec.support == "sphere")
    else:
        z[0, unit] += value - z[0, unit].mean()


def _set_within(z: Tensor, unit: int, value: float, radius: float, *, whole: bool) -> None:
    """Set a coordinate and scale the others to what is left of the radius: exactly on a sphere, at most in a ball."""
    value = min(max(value, -0.999 * radius), 0.999 * radius)
    rest = z[0].clone()
    rest[unit] = 0
    left = math.sqrt((0.9999 * radius if not whole else radius) ** 2 - value**2)
    length = float(rest.norm())
    if whole and length < 1e-6:  # no direction is left to go to
        rest[(unit + 1) % len(rest)] = length = 1.0
    if whole or length > left:
        rest *= left / length
    rest[unit] = value
    z[0] = rest


def _with_codes(model: VAE, z: Tensor, group: int, changes: Sequence[tuple[int, float]]) -> Tensor:
    index = codes_of(model, z, group).clone()
    for position, code in changes:
        index.view(-1)[position] = int(code)
    return looked_up(model, index, group)


def codes_of(model: VAE, z: Tensor, group: int) -> Tensor:
    """The indices `[B, *positions]` of code vectors `[B, D, *positions]`."""
    posterior: Any = model.posterior  # one over codes, or the prior would have refused it
    index: Tensor = posterior.find(group, z)
    return index


def looked_up(model: VAE, index: Tensor, group: int) -> Tensor:
    """The code vectors of indices; the inverse of `codes_of`."""
    posterior: Any = model.posterior
    vectors: Tensor = posterior.lookup(group, index)
    return vectors


def between(
    model: VAE,
    a: Tensor,
    b: Tensor,
    group: int,
    places: Tensor,
    path: Literal["straight", "spherical"] = "straight",
    radius: float = 1.0,
) -> Tensor:
    r"""Points on the way from a latent to another, `[T, *event]`.

    Real and positive numbers go straight, $(1-t)a + tb$, or on a spherical path (White 2016), which keeps the length that normal
    latents of many dimensions have. Points of a sphere or of the Poincare ball go along the geodesic. Bits, classes and codes
    have nothing between two values: they are switched one after another, from the first to the last that differs.

    Args:
        model: whose latents they are.
        a: `[1, *event]`, where t = 0.
        b: `[1, *event]`, where t = 1.
        group: their group.
        places: t in [0, 1], `[T]`.
        path: of real numbers.
        radius: of a sphere or ball.
    """
    support = model.prior.latent.groups[group].support
    t = places.to(a).view(-1, *(1,) * (a.ndim - 1))
    if support in ("one_hot", "bits", "codes"):
        return _switched(model, a, b, group, places, support)
    if support == "ball":
        c = 1 / radius**2
        return from_tangent(a, t * to_tangent(a, b, c), c)
    if support == "sphere" or (support == "real" and path == "spherical"):
        return _arc(a.flatten(1), b.flatten(1), places.to(a).view(-1, 1)).view(-1, *a.shape[1:])
    return (1 - t) * a + t * b


def _arc(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    angle = torch.acos(F.cosine_similarity(a, b, dim=-1).clamp(-1, 1)).unsqueeze(-1)
    sine = angle.sin()
    if float(sine) < 1e-4:  # along one line there is no arc
        return (1 - t) * a + t * b
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / sine


def _switched(model: VAE, a: Tensor, b: Tensor, group: int, places: Tensor, support: str) -> Tensor:
    if support == "codes":
        first, last = codes_of(model, a, group), codes_of(model, b, group)
    elif support == "one_hot":
        first, last = a.argmax(-1), b.argmax(-1)
    else:
        first, last = a, b
    differs = (first != last).flatten()
    order = differs.cumsum(0)
    steps = (places * int(differs.sum())).round().long().to(order.device).unsqueeze(1)
    taken = (differs & (order <= steps)).view(-1, *first.shape[1:])
    mixed = torch.where(taken, last, first)
    if support == "codes":
        return looked_up(model, mixed, group)
    return F.one_hot(mixed, a.shape[-1]).to(a) if support == "one_hot" else mixed
