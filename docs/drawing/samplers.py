"""Samplers: the latents that each draws, beside those of data, in a model with two latent numbers."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import vaelab
from drawing.canvas import DATA, MODEL, axes, plane
from drawing.runs import trained
from vaelab.inference import infer_latents
from vaelab.registry import SAMPLERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "codes": {"hidden": 64, "epochs": 30},
    "gmm": {"components": 10},
    "iaf": {"epochs": 30, "width": [32, 32]},
    "maf": {"epochs": 30, "width": [32, 32]},
    "manifold": {"centres": 200},
    "two_stage": {},
}


def draw(kind: str) -> tuple[Figure, str]:
    """One kind: figure and description."""
    run = _model(kind == "codes")
    sampler = SAMPLERS.build(SAMPLERS[kind].config.model_validate({"kind": kind, **_ARGUMENTS.get(kind, {})}))
    with run.model.evaluating():
        sampler.fit(run.model, lambda: run.data)
        torch.manual_seed(0)
        with torch.no_grad():
            drawn = sampler.sample(350)
            data = run.data.test.fetch(torch.arange(350))
            groups, _ = infer_latents(run.model, data)
    if kind == "codes":
        return _pairs(run, drawn.zs[0], groups[0].q.index[0])
    figure, plots = axes(2, 4.6, 2.2)
    known = groups[0].z[0]
    reach = 1.15 * float(known.abs().max())
    for plot, z, name, colour in zip(
        plots, (known, drawn.zs[0]), ("latents of test data", f"draws of {kind}"), (DATA, MODEL), strict=True
    ):
        plot.scatter(*z.T, s=4, color=colour, linewidths=0)
        plane(plot, (-reach, reach))
        plot.set_title(name)
    return figure, (
        f"Latents of 350 test digits of 8 x 8 pixels, and as many that `{kind}` draws, in a model with two latent numbers whose KL "
        "has the weight 0.05, so that the prior is not where the data are."
    )


@cache
def _model(codes: bool) -> vaelab.Run:
    weight = 0.0 if codes else 0.05
    terms: list[Any] = [{"kind": "kl", "weight": weight}, *(["commitment"] if codes else [])]
    model: dict[str, Any] = {}
    if codes:
        model = {"posterior": "vq", "prior": {"kind": "uniform_codes", "codes": 8, "dim": 4, "positions": [2]}}
    with trained(model=model, objective={"divergences": terms}) as run:
        return run


def _pairs(run: vaelab.Run, drawn: Tensor, index: Tensor) -> tuple[Figure, str]:
    figure, plots = axes(2, 4.4, 2.2)
    found = run.model.posterior.find(0, drawn)
    for plot, pairs, name in zip(plots, (index, found), ("codes of test data", "drawn"), strict=True):
        table = torch.zeros(8, 8)
        table.index_put_((pairs[:, 0], pairs[:, 1]), torch.ones(len(pairs)), accumulate=True)
        plot.imshow(table, cmap="Blues")
        plot.set(title=name, xlabel="$k_2$", ylabel="$k_1$", xticks=[], yticks=[])
    return figure, (
        "How often the pairs of codes occur of 350 test digits, in a model with two positions of eight codes, and how often `codes` "
        "draws them. Under the prior `uniform_codes` all would be alike."
    )
