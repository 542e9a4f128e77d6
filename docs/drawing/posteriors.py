"""Posteriors: what each family of densities makes of one posterior that is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from drawing.canvas import EXACT, MODEL, axes, plane
from drawing.discrete_posteriors import cells, table
from drawing.known_posterior import Function, fitted, gap_in_words, log_joint
from vaelab.types import Batch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _parabola(z: Tensor) -> Tensor:
    return z[..., 1] - 0.8 * z[..., 0] ** 2 + 1


def _product(z: Tensor) -> Tensor:
    return 1.5 * (z[..., 0] * z[..., 1] - 0.6)


def _slanted(z: Tensor) -> Tensor:
    return z[..., 0] - 0.35 * z[..., 1] ** 2 * (1 + z[..., 0])


def _bent(z: Tensor) -> Tensor:
    return 2.2 * (z[..., 1] - 1.3 * z[..., 0] ** 2 + 0.3)


#: By the support: prior, the map g, and the corner of the plane that is shown.
_REAL = ({"kind": "standard_normal", "dim": 2}, _parabola, (-2.6, 2.6))
_PLANES: dict[str, tuple[dict[str, Any], Function, tuple[float, float]]] = {
    "gamma": ({"kind": "gamma", "dim": 2, "concentration": 1.5, "rate": 1.0}, _product, (0.0, 3.0)),
    "wrapped_normal": ({"kind": "ball_normal", "dim": 2, "scale": 1.0}, _bent, (-1.0, 1.0)),
    "riemannian_normal": ({"kind": "ball_normal", "dim": 2, "scale": 1.0, "form": "riemannian"}, _bent, (-1.0, 1.0)),
    "product": (
        {"kind": "product", "parts": [{"kind": "standard_normal", "dim": 1}] * 2, "chained": True},
        _parabola,
        _REAL[2],
    ),
}
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "low_rank_normal": {"rank": 1},
    "flow": {"flow": "nsf", "steps": 4, "width": [32]},
    "product": {"parts": [{"kind": "diagonal_normal", "hidden": [32]}] * 2},
    "hamiltonian": {"steps": 5, "step_size": 0.1},
    "riemannian_hamiltonian": {"steps": 5, "step_size": 0.02, "centroids": 20},
    "semi_amortised": {"steps": 5, "pairs": 4},
}
_NOTES = {
    "dirac": "Trained with the penalty `latent_l2`, so that the point is a mode of $p(z \\mid x)$.",
    "product": "Two chained parts: $q(z_1 \\mid x)$ and $q(z_2 \\mid z_1, x)$, both normal.",
    "flow": "Four spline steps.",
    "low_rank_normal": "Rank 1.",
    "hamiltonian": "Five leapfrog steps.",
    "riemannian_hamiltonian": "Five leapfrog steps.",
}


def draw(kind: str) -> tuple[Figure, str]:
    """One kind: figure and description."""
    if kind in ("von_mises_fisher", "power_spherical"):
        return _circle(kind)
    if kind in ("bernoulli", "categorical"):
        return table(kind)
    if kind in ("vq", "fsq", "residual_vq"):
        return cells(kind)
    return _plane(kind)


def _plane(kind: str) -> tuple[Figure, str]:
    prior, g, (low, high) = _PLANES.get(kind, _REAL)
    model = fitted(kind, _ARGUMENTS.get(kind, {}), prior, g)
    line = torch.linspace(low, high, 241)
    across, down = torch.meshgrid(line, line, indexing="xy")
    points = torch.stack([across, down], -1).reshape(-1, 2)
    ball = prior["kind"] == "ball_normal"
    inside = points.norm(dim=1) < 0.995 if ball else (points > 0).all(1) if kind == "gamma" else points[:, 0] > -9
    log_p = torch.full((len(points),), -math.inf)
    log_p[inside] = log_joint(model, points[inside])
    # the ball's densities are with respect to its own volume
    volume = (2 / (1 - points.square().sum(1)).clamp_min(1e-9)).square() if ball else torch.ones(len(points))
    cell = ((high - low) / 240) ** 2
    weight = torch.where(inside, log_p.exp() * volume, torch.zeros(()))
    log_evidence = float((weight.sum() * cell).log())
    with torch.no_grad():
        z = torch.cat(
            [torch.cat([g.z for g in model.infer(Batch(torch.zeros(40, 1))).groups], -1)[0] for _ in range(20)]
        )
    figure, (left, right) = axes(2, 4.6, 2.2)
    density = weight.reshape(241, 241).numpy()
    left.contourf(line, line, density, 7, cmap="Greys")
    right.contour(line, line, density, 4, colors=EXACT, linewidths=0.6)
    right.scatter(*z.T, s=60 if kind == "dirac" else 3, color=MODEL, linewidths=0, alpha=1.0)
    for plot, name in ((left, "$p(z\\mid x)$"), (right, "draws of $q(z\\mid x)$")):
        plane(plot, (low, high))
        plot.set_title(name)
        if ball:
            _edge(plot)
    words = (
        f"Left: a posterior that is known, grey, of a model with two latent numbers{_where(kind)} and one datum. Right: "
        f"{len(z)} draws of `{kind}` fitted to that datum, over the contours of $p(z \\mid x)$."
    )
    note = f" {_NOTES[kind]}" if kind in _NOTES else ""
    # the Hamiltonian density is that of latents with their momenta, so that its gap is a bound
    return figure, words + note + gap_in_words(model, log_evidence)


def _where(kind: str) -> str:
    return {"gamma": " above 0", "wrapped_normal": " in the ball", "riemannian_normal": " in the ball"}.get(kind, "")


def _edge(plot: Axes) -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    plot.plot(np.cos(angle), np.sin(angle), color="black", linewidth=0.6)


def _circle(kind: str) -> tuple[Figure, str]:
    model = fitted(kind, {}, {"kind": "uniform_sphere", "dim": 2}, _slanted)
    angle = torch.linspace(-math.pi, math.pi, 721)
    points = torch.stack([angle.cos(), angle.sin()], 1)
    log_p = log_joint(model, points)
    width = 2 * math.pi / 720
    evidence = float(log_p[:-1].exp().sum() * width)
    with torch.no_grad():
        q = model.infer(Batch(torch.zeros(1, 1))).groups[0].q
        assert q is not None
        log_q = q.log_prob(points[:, None, None]).flatten()
    figure, (plot,) = axes()
    plot.fill_between(angle, log_p.exp() / evidence, color="0.8", label="$p(z\\mid x)$")
    plot.plot(angle, log_q.exp(), color=MODEL, label="$q(z\\mid x)$")
    plot.set(xlabel="angle of z on the circle", ylabel="density", xlim=(-math.pi, math.pi))
    plot.set_xticks([-math.pi, 0, math.pi], ["-π", "0", "π"])
    plot.legend()
    words = (
        f"A posterior over directions that is known, grey, and `{kind}` fitted to it. It has two ends, of which a density with "
        "one direction takes one or spans both."
    )
    return figure, words + gap_in_words(model, math.log(evidence))
