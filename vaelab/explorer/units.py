"""What the units of a latent group are, how much the data say through each, and over which range each goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vaelab.errors import VaelabError
from vaelab.inference import Group, infer_latents
from vaelab.latents import unit_levels
from vaelab.metrics import component_rates, offered
from vaelab.model import VAE
from vaelab.types import Batch, GroupSpec, LatentSpec, numel

#: How a unit is set: to a number, to 0 or 1, to one of some classes, or to one of some codes.
Control = Literal["number", "bit", "class", "code"]

_CONTROLS: dict[str, Control] = {"bits": "bit", "one_hot": "class", "codes": "code"}
_SHARE = "share of its variance that x determines"
#: Standard deviations to either side of the mean.
_SPAN = 3.0
#: A coordinate on the sphere or in the ball at most, relative to the radius; at the rim nothing is left for the others.
_RIM = 0.98


@dataclass(frozen=True)
class Unit:
    """One unit of a group.

    Attributes:
        number: its place in the group: of a number in a vector, of a map's channel, of a variable or a position.
        information: how much of the data it carries, in what `Units.measure` says.
        low: least value of its control.
        high: largest value.
    """

    number: int
    information: float
    low: float
    high: float


@dataclass(frozen=True)
class Units:
    """A latent group as the page shows it.

    Attributes:
        group: its number.
        name: such as `group 2` or `step 5`.
        control: how a unit is set.
        choices: number of classes or codes; 0 for numbers and bits.
        grid: positions of codes in rows and columns, or empty.
        measure: what the information of a unit is, with its unit.
        note: what is to be known of moving a unit, or empty.
        rate: KL of the group, nats, a mean over the surveyed data, or None where there is none.
        units: the most informative first.
    """

    group: int
    name: str
    control: Control
    choices: int
    grid: tuple[int, ...]
    measure: str
    note: str
    rate: float | None
    units: tuple[Unit, ...]


def survey(model: VAE, batches: Sequence[Batch]) -> list[Units]:
    """The units of every group, from one pass of encoder and latents over some data with two draws of each."""
    passes = [infer_latents(model, batch, 2)[0] for batch in batches]
    names = group_names(model.prior.latent)
    return [
        _units(i, names[i], spec, [groups[i] for groups in passes]) for i, spec in enumerate(model.prior.latent.groups)
    ]


def group_names(latent: LatentSpec) -> list[str]:
    """`group 0`, `group 1`, ...; steps of a sequence, which share their weights, are counted by themselves."""
    weights = latent.weights
    steps = [i for i, number in enumerate(weights) if weights.count(number) > 1]
    return [f"step {steps.index(i)}" if i in steps else f"group {i}" for i in range(latent.depth)]


def _units(i: int, name: str, spec: GroupSpec, groups: Sequence[Group]) -> Units:
    control = _CONTROLS.get(spec.support, "number")
    if control == "code":
        information, low, high = _of_codes(groups, spec)
        measure = "entropy of the code over the data, nats"
    elif control in ("bit", "class"):
        information = _mutual_information(groups, spec)
        low = torch.zeros_like(information)
        high = low + (spec.shape[-1] - 1 if control == "class" else 1)
        measure = "information on x, nats"
    else:
        information, measure = _of_numbers(groups, spec)
        low, high = _ranges(groups, spec)
    units = [
        Unit(u, round(float(information[u]), 5), round(float(low[u]), 5), round(float(high[u]), 5))
        for u in information.argsort(descending=True, stable=True).tolist()
    ]
    choices = (spec.codes or 0) if control == "code" else spec.shape[-1] if control == "class" else 0
    grid = spec.shape[1:] if control == "code" else ()
    return Units(i, name, control, choices, grid, measure, _note(spec), rate_of(groups), tuple(units))


def levels(z: Tensor, spec: GroupSpec, batch_ndim: int = 1) -> Tensor:
    """The value of each unit, `[*batch, *event]` to `[*batch, units]`: channels of a map by their mean, classes by their number."""
    if spec.support == "one_hot":
        return z.argmax(-1).flatten(batch_ndim)
    return z.flatten(batch_ndim) if spec.support == "bits" else unit_levels(z, batch_ndim)


def unit_rates_of(group: Group, spec: GroupSpec) -> Tensor | None:
    """The KL of each unit, `[K, B, units]`, where it has a closed form."""
    rates = component_rates(group)
    return None if rates is None else rates.unflatten(2, spec.shape).flatten(3).sum(3) if len(spec.shape) > 1 else rates


def _of_codes(groups: Sequence[Group], spec: GroupSpec) -> tuple[Tensor, Tensor, Tensor]:
    """The code follows from x, so that its entropy is all that it says of x."""
    # a posterior over codes tells which it chose; one that does not leaves the order of the positions
    chosen = [getattr(group.q, "index", None) for group in groups]
    number = numel(spec.shape[1:])
    zeros = torch.zeros(number, dtype=torch.float64)
    high = zeros + ((spec.codes or 1) - 1)
    if any(index is None for index in chosen):
        return zeros, zeros, high
    index = torch.cat([index[0].flatten(1).cpu() for index in chosen if index is not None])
    entropies = []
    for position in index.T:
        share = position.unique(return_counts=True)[1].double() / len(position)
        entropies.append(torch.special.entr(share).sum())
    return torch.stack(entropies), zeros, high


def _mutual_information(groups: Sequence[Group], spec: GroupSpec) -> Tensor:
    r"""$H(\mathbb{E}_x q) - \mathbb{E}_x H(q)$ of each variable."""
    probabilities = []
    for group in groups:
        assert group.q is not None
        p = group.q.mean.expand_as(group.z)[0].cpu().double()
        if spec.support == "bits":
            p = torch.stack([1 - p, p], -1)
        probabilities.append(p.flatten(1, -2))
    every = torch.cat(probabilities)
    together = torch.special.entr(every.mean(0)).sum(-1)
    apart = torch.special.entr(every).sum(-1).mean(0)
    return (together - apart).clamp_min(0)


def _of_numbers(groups: Sequence[Group], spec: GroupSpec) -> tuple[Tensor, str]:
    rates = [unit_rates_of(group, spec) for group in groups]
    if all(rate is not None for rate in rates):
        return torch.cat([rate.mean(0) for rate in rates if rate is not None]).mean(0), "KL, nats"
    draws = _drawn(groups, spec)
    if not groups[0].has_density:  # a point: x determines all of it
        return draws.std(0, correction=0), "standard deviation over the data"
    centres = []
    for group in groups:
        mean = offered(group.q, "mean")
        centres.append(levels((group.z if mean is None else mean.expand_as(group.z)).cpu().double(), spec, 2))
    # the covariance of two independent draws leaves out their noise, see `latent_moments`
    one, two = torch.cat(centres, 1)
    signal = ((one - one.mean(0)) * (two - two.mean(0))).mean(0)
    return (signal / draws.var(0, correction=0)).nan_to_num(0.0, 0.0, 0.0).clamp(0, 1), _SHARE


def _drawn(groups: Sequence[Group], spec: GroupSpec) -> Tensor:
    """The levels of all draws, `[2 * N, units]`."""
    return torch.cat([levels(group.z.flatten(0, 1).cpu().double(), spec) for group in groups])


def _ranges(groups: Sequence[Group], spec: GroupSpec) -> tuple[Tensor, Tensor]:
    draws = _drawn(groups, spec)
    if spec.support == "positive":
        low, high = (draws.quantile(q, 0) for q in (0.005, 0.995))
        return low.clamp_min(1e-4), high.clamp_min(2e-4)
    loc, scale = draws.mean(0), draws.std(0, correction=0)
    scale = torch.where(scale > 1e-6, scale, torch.ones_like(scale))
    low, high = loc - _SPAN * scale, loc + _SPAN * scale
    if spec.support in ("sphere", "ball"):
        rim = _RIM * radius(groups[0])
        return low.clamp(-rim, 0), high.clamp(0, rim)
    return low, high


def radius(group: Group) -> float:
    """Of the ball or sphere that the latents of a group lie in."""
    curvature: float = getattr(group.p, "curvature", 1.0)
    return 1 / math.sqrt(curvature)


def rate_of(groups: Sequence[Group]) -> float | None:
    """The KL of a group, nats, a mean over the data of some passes; None where there is none."""
    try:
        if not all(group.has_density for group in groups):
            return None
        rate = float(torch.cat([group.rate().flatten().cpu() for group in groups]).double().mean())
    except (VaelabError, NotImplementedError):
        return None
    return rate if math.isfinite(rate) else None


def _note(spec: GroupSpec) -> str:
    if spec.support == "sphere":
        return "Unit vectors: where one coordinate is set, the others shrink or grow, so that the length stays 1."
    if spec.support == "ball":
        return "Points of a ball: where one coordinate is set, the others shrink if the point would lie outside."
    if spec.support == "codes":
        return "Codes have no order, so that neighbouring numbers mean nothing. Choose a position, then its code."
    if spec.support == "real" and len(spec.shape) > 1:
        return "A unit is a channel of a map; it is moved by the same amount at all positions."
    return ""
