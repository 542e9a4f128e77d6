"""Posteriors: what each family makes of one posterior that is known.

The datum is one number, $x = g(z)$ with a little noise. So $p(z \\mid x)$ lies along a curve in the plane, and can be computed on a
grid. The posterior is trained by the real objective for that datum alone, with the decoder fixed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from drawing.canvas import EXACT, MODEL, axes, plane
from vaelab.build import build
from vaelab.config import ModelConfig
from vaelab.model import VAE
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, DataSpec, StepContext

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NOISE = 0.25
Function = Callable[[Tensor], Tensor]


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
        return _table(kind)
    if kind in ("vq", "fsq", "residual_vq"):
        return _cells(kind)
    return _plane(kind)


def _model(kind: str, prior: dict[str, Any], g: Function, size: int, steps: int = 1500) -> VAE:
    torch.manual_seed(0)
    config = {
        "encoder": {"kind": "mlp", "hidden": [16], "activation": "tanh"},
        "posterior": {"kind": kind, **_ARGUMENTS.get(kind, {})},
        "prior": prior,
        "decoder": {"kind": "mlp", "hidden": [48, 48], "activation": "tanh"},
        "likelihood": {"kind": "normal", "sigma": "fixed", "scale": _NOISE},
    }
    terms = [{"kind": "latent_l2"}] if kind == "dirac" else ["kl"]
    objective_config = OBJECTIVES["elbo"].config.model_validate({"divergences": terms})
    model, objective = build(ModelConfig.model_validate(config), objective_config, DataSpec((1,), "real"))
    _teach(model, g, size, prior["kind"])
    batch = Batch(torch.zeros(64, 1))
    trained = [*model.encoder.parameters(), *model.posterior.parameters()]
    optimiser = torch.optim.Adam(trained, 0.01)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        loss = objective(model, batch, StepContext(step, 1, steps))["model"].value.mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 10.0)
        optimiser.step()
        decay.step()
    return model.eval()


def _teach(model: VAE, g: Function, size: int, prior: str) -> None:
    """Fit the decoder's mean to g where latents can be."""
    optimiser = torch.optim.Adam(model.decoder.parameters(), 0.005)
    for _ in range(1200):
        z = 3.2 * (2 * torch.rand(1, 256, size) - 1)
        if prior in ("bernoulli", "categorical"):
            z = torch.rand(1, 256, size).round() if prior == "bernoulli" else _one_hot(256)
        elif prior == "gamma":
            z = z.abs()
        elif prior in ("ball_normal", "uniform_sphere"):
            z = torch.nn.functional.normalize(z, dim=-1) * (1 if prior == "uniform_sphere" else torch.rand(1, 256, 1))
        loss = (model.decoder(z)[..., 0] - g(z)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def _one_hot(number: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.randint(3, (1, number, 2)), 3).float()


@torch.no_grad()
def _log_joint(model: VAE, z: Tensor) -> Tensor:
    """log p(x, z) of latents `[N, ...]`, by the model's own prior and decoder."""
    zs = {0: z} if model.depth == 1 else {i: z[:, i : i + 1] for i in range(model.depth)}
    trace = model.infer(Batch(torch.zeros(len(z), 1)), fixed=zs)
    return trace.log_weight[0]


def _gap(model: VAE, log_evidence: float) -> str:
    """KL(q || p(z | x)) in words, where q has a density."""
    with torch.no_grad():
        trace = model.infer(Batch(torch.zeros(64, 1)), 64)
        if not trace.has_density:
            return ""
        gap = log_evidence - float(trace.log_weight.mean())
    return f" $\\mathrm{{KL}}(q \\,\\|\\, p(z \\mid x))$ is {max(gap, 0.0):.2f} nats."


def _plane(kind: str) -> tuple[Figure, str]:
    prior, g, (low, high) = _PLANES.get(kind, _REAL)
    model = _model(kind, prior, g, 2)
    line = torch.linspace(low, high, 241)
    across, down = torch.meshgrid(line, line, indexing="xy")
    points = torch.stack([across, down], -1).reshape(-1, 2)
    ball = prior["kind"] == "ball_normal"
    inside = points.norm(dim=1) < 0.995 if ball else (points > 0).all(1) if kind == "gamma" else points[:, 0] > -9
    log_p = torch.full((len(points),), -math.inf)
    log_p[inside] = _log_joint(model, points[inside])
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
    return figure, words + note + _gap(model, log_evidence)


def _where(kind: str) -> str:
    return {"gamma": " above 0", "wrapped_normal": " in the ball", "riemannian_normal": " in the ball"}.get(kind, "")


def _edge(plot: Axes) -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    plot.plot(np.cos(angle), np.sin(angle), color="black", linewidth=0.6)


def _circle(kind: str) -> tuple[Figure, str]:
    model = _model(kind, {"kind": "uniform_sphere", "dim": 2}, _slanted, 2)
    angle = torch.linspace(-math.pi, math.pi, 721)
    points = torch.stack([angle.cos(), angle.sin()], 1)
    log_p = _log_joint(model, points)
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
    return figure, words + _gap(model, math.log(evidence))


def _table(kind: str) -> tuple[Figure, str]:
    bits = kind == "bernoulli"
    prior = {"kind": kind, "dim": 2} if bits else {"kind": kind, "variables": 2, "classes": 3}

    def g(z: Tensor) -> Tensor:
        if bits:
            return 0.5 * (1 - (z[..., 0] - z[..., 1]).abs()) + 0.2 * z[..., 0]
        first, second = (z[..., i, :] @ torch.arange(3.0) for i in (0, 1))
        return 0.5 * (first + second - 2) + 0.15 * second

    _ARGUMENTS[kind] = {"temperature": 0.3}
    model = _model(kind, prior, g, 2)
    size = 2 if bits else 3
    pairs = torch.cartesian_prod(torch.arange(size), torch.arange(size))
    z = pairs.float() if bits else torch.nn.functional.one_hot(pairs, 3).float()
    exact = _log_joint(model, z).softmax(0).reshape(size, size)
    with torch.no_grad():
        q = model.infer(Batch(torch.zeros(1, 1))).groups[0].q
        assert q is not None
        found = q.log_prob(z[:, None, None]).flatten().exp().reshape(size, size)
    figure, plots = axes(2, 4.0, 2.0)
    for plot, table, name in zip(plots, (exact, found), ("$p(z\\mid x)$", "$q(z\\mid x)$"), strict=True):
        plot.imshow(table, cmap="Blues", vmin=0, vmax=1)
        plot.set(xticks=range(size), yticks=range(size), xlabel="$z_2$", ylabel="$z_1$", title=name)
        for i in range(size):
            for j in range(size):
                value = float(table[i, j])
                plot.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.5 else "black")
    what = "two bits" if bits else "two variables of three classes"
    return figure, (
        f"A posterior over {what} that is known, and `{kind}` fitted to it. The variables of $q(z \\mid x)$ are independent, so "
        "that it cannot hold a dependence between them."
    )


def _cells(kind: str) -> tuple[Figure, str]:
    codes = {"vq": 12, "fsq": 12, "residual_vq": 16}[kind]
    arguments: dict[str, Any] = {
        "vq": {},
        "fsq": {"levels": [4, 3]},
        "residual_vq": {"quantisers": 2},
    }[kind]
    book = 4 if kind == "residual_vq" else codes
    torch.manual_seed(1)
    config = {
        "encoder": {"kind": "mlp", "hidden": [32]},
        "posterior": {"kind": kind, **arguments},
        "prior": {"kind": "uniform_codes", "codes": codes, "dim": 2, "positions": [1]},
        "decoder": {"kind": "mlp", "hidden": [32]},
        "likelihood": {"kind": "normal", "sigma": "fixed", "scale": 0.3},
    }
    objective_config = OBJECTIVES["elbo"].config.model_validate(
        {"divergences": [] if kind == "fsq" else ["commitment"]}
    )
    model, objective = build(ModelConfig.model_validate(config), objective_config, DataSpec((2,), "real"))
    angle = math.pi * torch.rand(2000)
    upper = torch.rand(2000) < 0.5
    x = torch.stack([angle.cos() - 0.5 + upper, angle.sin() * (1 - 2.0 * upper) - 0.25 + 0.5 * upper], 1)
    x = 1.6 * (x + 0.08 * torch.randn_like(x))
    optimiser = torch.optim.Adam(model.parameters(), 0.003)
    for step in range(2500):
        rows = torch.randint(2000, (128,))
        loss = objective(model, Batch(x[rows]), StepContext(step, 1, 2500))["model"].value.mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    line = torch.linspace(-3.2, 3.2, 201)
    points = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(-1, 2)
    with torch.no_grad():
        q = model.infer(Batch(points)).groups[0].q
        index = q.index.flatten()  # type: ignore[union-attr]
        q = model.infer(Batch(x)).groups[0].q
        used = q.index.flatten().unique()  # type: ignore[union-attr]
        means = model.infer(Batch(x)).likelihood.mean[0]
    shuffled = torch.randperm(codes, generator=torch.Generator().manual_seed(3))
    figure, (plot,) = axes(1, 3.0, 2.4)
    plot.imshow(
        shuffled[index].reshape(201, 201),
        extent=(-3.2, 3.2) * 2,
        origin="lower",
        cmap="Pastel2",
        interpolation="nearest",
    )
    plot.scatter(*x[:500].T, s=1, color="0.35", linewidths=0)
    plot.scatter(*means.unique(dim=0).T, s=22, color=MODEL, marker="x")
    plane(plot, (-3.2, 3.2), (-2.4, 2.4))
    how = f"{codes} codes" if book == codes else f"two books of {book} codes each, so {codes} pairs"
    return figure, (
        f"Data in the plane (dots) coded by `{kind}` with {how}. A coloured cell is what one code stands for, a cross what is "
        f"decoded from it; the data use {len(used)} of the codes."
    )
