"""Priors: what they have learned in a small model of the 8 x 8 digits, beside the latents of the test data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

import vaelab
from drawing.canvas import DATA, EXACT, MODEL, SET, axes, plane
from drawing.runs import trained
from vaelab.inference import infer_latents

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NORMAL: dict[str, Any] = {"dim": 2}
_SEQUENCES = ("markov_chain", "static_and_dynamic", "vrnn")
#: Arguments of prior and posterior; a plane of two latents unless the kind is drawn in another way below.
_PARTS: dict[str, tuple[dict[str, Any], Any]] = {
    "standard_normal": (_NORMAL, "diagonal_normal"),
    "normal": (_NORMAL, "diagonal_normal"),
    "mixture": ({"dim": 2, "components": 10}, "diagonal_normal"),
    "vamp": ({"dim": 2, "pseudo_inputs": 20}, "diagonal_normal"),
    "flow": ({"dim": 2, "steps": 3, "width": [32]}, "diagonal_normal"),
    "resampled": ({"base": {"kind": "standard_normal", "dim": 2}, "hidden": [32, 32]}, "diagonal_normal"),
    "gamma": ({"dim": 2, "concentration": 1.0, "rate": 1.0}, "gamma"),
    "ball_normal": ({"dim": 2}, "wrapped_normal"),
    "conditional": ({"dim": 2, "hidden": [32]}, "diagonal_normal"),
    "product": (
        {"parts": [{"kind": "gamma", "dim": 1}, {"kind": "mixture", "dim": 1, "components": 5}]},
        {"kind": "product", "parts": ["gamma", "diagonal_normal"]},
    ),
    "uniform_sphere": ({"dim": 2}, "von_mises_fisher"),
    "bernoulli": ({"dim": 4, "learned": True}, "bernoulli"),
    "categorical": ({"variables": 1, "classes": 12, "learned": True}, "categorical"),
    "uniform_codes": ({"codes": 8, "dim": 4, "positions": [2]}, "vq"),
    "autoregressive_codes": ({"codes": 8, "dim": 4, "positions": [2], "hidden": 16}, "vq"),
    "top_down": ({"top": {"kind": "standard_normal", "dim": 1}, "groups": [1], "width": 32}, "diagonal_normal"),
    "markov_chain": ({"steps": 10, "dim": 2, "hidden": 24}, "diagonal_normal"),
    "static_and_dynamic": ({"static": 8, "dynamic": 2, "hidden": 24}, "diagonal_normal"),
    "vrnn": ({"dim": 2, "hidden": 24, "features": 24}, "diagonal_normal"),
}


def draw(kind: str) -> tuple[Figure, str]:
    """One kind: figure and description."""
    run = _run(kind)
    if kind in _SEQUENCES:
        return _paths(kind, run)
    if kind in ("bernoulli", "categorical"):
        return _frequencies(kind, run)
    if kind in ("uniform_codes", "autoregressive_codes"):
        return _pairs(kind, run)
    if kind == "uniform_sphere":
        return _angles(run)
    return _plane(kind, run)


def _run(kind: str) -> vaelab.Run:
    prior, posterior = _PARTS[kind]
    sequences = kind in _SEQUENCES
    digits: dict[str, Any] = {"kind": "digits", "binarisation": "dynamic"}
    encoder: Any = {"kind": "mlp", "hidden": [128]}
    if sequences:
        digits = {
            "kind": "moving",
            "data": {"kind": "digits", "train_limit": 600, "test_limit": 200},
            "steps": 10,
            "size": 12,
        }
        encoder = {
            "kind": "per_step" if kind == "vrnn" else "gru",
            **({"hidden": [48]} if kind == "vrnn" else {"hidden": 48}),
        }
    if kind == "conditional":
        digits["condition"] = "label"
        encoder = {"kind": "conditional", "encoder": encoder}
    terms: list[Any] = [{"kind": "kl", "weight": {"kind": "linear", "start": 0.0, "end": 1.0, "epochs": 8}}]
    if kind.endswith("codes"):
        terms.append("commitment")
    model: dict[str, Any] = {"encoder": encoder, "posterior": posterior, "prior": {"kind": kind, **prior}}
    if sequences:
        model["decoder"] = {"kind": "per_step", "hidden": [64]}
        model["likelihood"] = {"kind": "normal", "sigma": "fixed", "scale": 0.2}
    training = {"epochs": 60 if sequences else 80}
    with trained(data=digits, model=model, objective={"divergences": terms}, training=training) as run:
        return run


@torch.no_grad()
def _latents(run: vaelab.Run) -> tuple[list[Tensor], Tensor]:
    """A draw of each latent group for each test datum, `[N, *event]`, and the labels."""
    batch = run.data.test.fetch(torch.arange(len(run.data.test)))
    groups, _ = infer_latents(run.model, batch)
    assert batch.y is not None
    return [group.z[0] for group in groups], batch.y


def _plane(kind: str, run: vaelab.Run) -> tuple[Figure, str]:
    zs, labels = _latents(run)
    z = torch.cat(zs, 1)
    reach = float(z.abs().quantile(0.995)) * 1.15
    low, high = {"gamma": (0.0, reach), "ball_normal": (-1.0, 1.0)}.get(kind, (-reach, reach))
    across = torch.linspace(1e-3 if kind in ("gamma", "product") else low, high, 161)
    down = torch.linspace(1e-3 if kind == "gamma" else low, high, 161)
    points = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1).reshape(-1, 2)
    figure, (left, right) = axes(2, 4.6, 2.2)
    if kind == "conditional":
        _conditions(run, left, across, points)
    else:
        density = _density(run, points, kind).reshape(161, 161)
        # single points near 0 may hold a density without a bound
        left.contourf(across, down, density.clamp_max(float(density.quantile(0.995))), 9, cmap="Blues")
    right.scatter(*z.T, c=[SET[int(y)] for y in labels], s=3, linewidths=0)
    for plot, name in ((left, "$p(z)$"), (right, "draws of $q(z\\mid x)$")):
        plane(plot, (0.0, high) if kind == "product" else (low, high), (low, high))
        plot.set_aspect("auto" if kind == "product" else "equal")
        plot.set_title("$p(z\\mid y)$" if kind == "conditional" and plot is left else name)
    note = {
        "top_down": " Across is $z_0$, upwards is $z_1$, of one number each.",
        "product": " Across a gamma density, upwards a mixture of five normals.",
        "conditional": " A contour for each label y, at the same colour.",
        "standard_normal": " Where the two differ, samples of the prior are poor.",
        "ball_normal": " The whole Poincare ball; densities are those of the plane of the picture.",
    }.get(kind, "")
    return figure, (
        f"Left: the prior `{kind}` after a short training on the 8 x 8 digits with two latent numbers. Right: latents of test data, "
        f"a colour a label.{note}"
    )


@torch.no_grad()
def _density(run: vaelab.Run, points: Tensor, kind: str) -> Tensor:
    model = run.model
    state = model.prior.initial((1, len(points)))
    if model.depth == 2:
        total = torch.zeros(len(points))
        for i in range(2):
            z = points[None, :, i : i + 1]
            total = total + model.prior.group(i, state).log_prob(z).expand(1, -1)[0]
            state = model.prior.advance(i, state, z)
        return total.exp()
    inside = points.norm(dim=1) < 0.99 if kind == "ball_normal" else torch.ones(len(points), dtype=torch.bool)
    density = torch.zeros(len(points))
    state = model.prior.initial((1, int(inside.sum())))
    density[inside] = model.prior.group(0, state).log_prob(points[inside][None]).reshape(-1).exp()
    if kind == "ball_normal":
        density = density * (2 / (1 - points.square().sum(1)).clamp_min(0.02)).square()
    return density


@torch.no_grad()
def _conditions(run: vaelab.Run, plot: Any, line: Tensor, points: Tensor) -> None:
    for y in range(10):
        condition = F.one_hot(torch.full((len(points),), y), 10).float()
        p = run.model.prior.group(0, run.model.prior.initial((1, len(points)), condition))
        density = p.log_prob(points[None])[0].exp().reshape(161, 161)
        plot.contour(line, line, density, [0.4 * float(density.max())], colors=SET[y], linewidths=1.0)


def _angles(run: vaelab.Run) -> tuple[Figure, str]:
    (z,), labels = _latents(run)
    angle = torch.atan2(z[:, 1], z[:, 0])
    figure, (plot,) = axes()
    plot.hist(
        [angle[labels == y].numpy() for y in range(10)], 36, (-math.pi, math.pi), density=True, stacked=True, color=SET
    )
    plot.axhline(1 / (2 * math.pi), color="black", linestyle="--", label="$p(z) = 1/2\\pi$")
    plot.set(xlabel="angle of z on the circle", ylabel="density", xlim=(-math.pi, math.pi))
    plot.set_xticks([-math.pi, 0, math.pi], ["-π", "0", "π"])
    plot.legend()
    return figure, (
        "The uniform prior on the circle, dashed, and the latents of test digits after a short training with the posterior "
        "`von_mises_fisher`, a colour a label."
    )


def _frequencies(kind: str, run: vaelab.Run) -> tuple[Figure, str]:
    (z,), _ = _latents(run)
    state = run.model.prior.initial((1, 1))
    if kind == "bernoulli":
        every = torch.cartesian_prod(*[torch.arange(2.0)] * 4)
        names = ["".join(str(int(bit)) for bit in row) for row in every]
        used = (z[:, None] == every[None]).all(2).float().mean(0)
    else:
        every = torch.eye(12)[:, None]
        names = [str(i + 1) for i in range(12)]
        used = z[:, 0].mean(0)
    with torch.no_grad():
        p = run.model.prior.group(0, state).log_prob(every[None]).reshape(-1).exp()
    place = torch.arange(len(names)).float()
    figure, (plot,) = axes()
    plot.bar(place - 0.2, p, 0.4, color=MODEL, label="$p(z)$")
    plot.bar(place + 0.2, used, 0.4, color=DATA, label="latents of test data")
    plot.set_xticks(place, names, rotation=90 if kind == "bernoulli" else 0)
    plot.set(ylabel="probability")
    plot.legend(ncols=2)
    what = "four bits" if kind == "bernoulli" else "one variable of twelve classes"
    return (
        figure,
        f"The learned prior `{kind}` of {what} after a short training on the 8 x 8 digits, beside what the data use.",
    )


def _pairs(kind: str, run: vaelab.Run) -> tuple[Figure, str]:
    batch = run.data.test.fetch(torch.arange(len(run.data.test)))
    with torch.no_grad():
        groups, _ = infer_latents(run.model, batch)
        index = groups[0].q.index[0]
        used = torch.zeros(8, 8)
        used.index_put_((index[:, 0], index[:, 1]), torch.ones(len(index)), accumulate=True)
        every = torch.cartesian_prod(torch.arange(8), torch.arange(8))
        vectors = run.model.posterior.lookup(0, every)
        p = run.model.prior.group(0, run.model.prior.initial((1, 64))).log_prob(vectors[None]).reshape(-1).exp()
    tables = (p.reshape(8, 8).expand(8, 8), used / used.sum())
    figure, plots = axes(2, 4.4, 2.2)
    for plot, table, name in zip(plots, tables, ("$p(k_1, k_2)$", "codes of test data"), strict=True):
        plot.imshow(table, cmap="Blues", vmin=0, vmax=float(tables[1].max()))
        plot.set(title=name, xlabel="$k_2$", ylabel="$k_1$", xticks=[], yticks=[])
    return figure, (
        f"The prior `{kind}` over two positions of eight codes after a short training on the 8 x 8 digits, and the pairs of "
        "codes that test data take."
    )


def _paths(kind: str, run: vaelab.Run) -> tuple[Figure, str]:
    torch.manual_seed(3)
    first = 1 if kind == "static_and_dynamic" else 0
    with torch.no_grad(), run.model.evaluating():
        drawn = torch.stack(run.model.generate(6).zs[first:], 1)
    zs, _ = _latents(run)
    known = torch.stack(zs[first:], 1)[:6]
    figure, plots = axes(2, 4.6, 2.2)
    reach = 1.1 * float(torch.cat([drawn, known]).abs().max())
    for plot, paths, name in zip(
        plots, (drawn, known), ("$z_{1:T}\\sim p$", "$z_{1:T}\\sim q(\\cdot\\mid x)$"), strict=True
    ):
        for colour, path in zip(SET, paths, strict=False):
            plot.plot(*path.T, color=colour, linewidth=0.9, marker="o", markersize=2)
            plot.plot(*path[0], color=EXACT, marker="s", markersize=4)
        plane(plot, (-reach, reach))
        plot.set_title(name)
    seen = " Each step has seen the frame drawn before it." if kind == "vrnn" else ""
    beside = " The static latent is not shown." if first else ""
    return figure, (
        f"Six sequences of two latent numbers a step, after a short training on digits that move: drawn from the prior `{kind}`, "
        f"and from the posterior of test data. A square is the first step.{seen}{beside}"
    )
