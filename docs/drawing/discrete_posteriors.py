"""Posteriors over discrete latents: tables of their probabilities, and the cells of codes in the plane of data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from drawing.canvas import MODEL, axes, plane
from drawing.known_posterior import fitted, log_joint
from vaelab.build import build
from vaelab.config import ModelConfig
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, DataSpec, StepContext

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def table(kind: str) -> tuple[Figure, str]:
    """The known posterior and q, a number a combination of the latents."""
    bits = kind == "bernoulli"
    prior = {"kind": kind, "dim": 2} if bits else {"kind": kind, "variables": 2, "classes": 3}

    def g(z: Tensor) -> Tensor:
        if bits:
            return 0.5 * (1 - (z[..., 0] - z[..., 1]).abs()) + 0.2 * z[..., 0]
        first, second = (z[..., i, :] @ torch.arange(3.0) for i in (0, 1))
        return 0.5 * (first + second - 2) + 0.15 * second

    model = fitted(kind, {"temperature": 0.3}, prior, g)
    size = 2 if bits else 3
    pairs = torch.cartesian_prod(torch.arange(size), torch.arange(size))
    z = pairs.float() if bits else torch.nn.functional.one_hot(pairs, 3).float()
    exact = log_joint(model, z).softmax(0).reshape(size, size)
    with torch.no_grad():
        q = model.infer(Batch(torch.zeros(1, 1))).groups[0].q
        assert q is not None
        found = q.log_prob(z[:, None, None]).flatten().exp().reshape(size, size)
    figure, plots = axes(2, 4.0, 2.0)
    for plot, numbers, name in zip(plots, (exact, found), ("$p(z\\mid x)$", "$q(z\\mid x)$"), strict=True):
        plot.imshow(numbers, cmap="Blues", vmin=0, vmax=1)
        plot.set(xticks=range(size), yticks=range(size), xlabel="$z_2$", ylabel="$z_1$", title=name)
        for i in range(size):
            for j in range(size):
                value = float(numbers[i, j])
                plot.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.5 else "black")
    what = "two bits" if bits else "two variables of three classes"
    return figure, (
        f"A posterior over {what} that is known, and `{kind}` fitted to it. The variables of $q(z \\mid x)$ are independent, so "
        "that it cannot hold a dependence between them."
    )


def cells(kind: str) -> tuple[Figure, str]:
    """Which code stands for each point of the plane."""
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
        index = q.index.flatten()
        q = model.infer(Batch(x)).groups[0].q
        used = q.index.flatten().unique()
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
