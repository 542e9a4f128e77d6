"""Objectives: their values and gradients in a model whose log-likelihood is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from drawing.canvas import SET, axes, curves, plane
from drawing.linear import LATENTS, Known, hand_on, linear
from vaelab.build import build
from vaelab.config import ModelConfig
from vaelab.distributions import DiagonalNormal
from vaelab.registry import OBJECTIVES, ComponentConfig
from vaelab.types import Batch, DataSpec, StepContext

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CONTEXT = StepContext(10, 10, 100, 1000)
_WIDTHS = torch.linspace(0.4, 2.0, 17)
#: Curves by kind: names and arguments.
_VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "elbo": {"K = 1": {}, "KL weight 0.5": {"divergences": [{"kind": "kl", "weight": 0.5}]}},
    "iwae": {f"K = {k}": {"samples": k} for k in (1, 5, 50)},
    "ciwae": {f"beta {b:g}": {"samples": 50, "beta": b} for b in (0.0, 0.5, 1.0)},
    "miwae": {f"M = {50 // k}, K = {k}": {"samples": k, "outer": 50 // k} for k in (1, 5, 50)},
    "renyi": {f"alpha {a:g}": {"samples": 50, "alpha": a} for a in (-1.0, 0.5, 0.99, 2.0)},
    "tvo": {f"{n} partitions": {"samples": 50, "partitions": n} for n in (1, 2, 5, 20)},
}


def draw(kind: str) -> tuple[Figure, str]:
    """One kind: figure and description."""
    if kind in ("dreg", "piwae"):
        return _signal(kind)
    special = {"wake_sleep": _players, "semi_supervised": _labels, "weakly_supervised": _pair}
    return special[kind]() if kind in special else _bound(kind)


def _config(kind: str, **arguments: Any) -> ComponentConfig:
    return OBJECTIVES[kind].config.model_validate({"kind": kind, **arguments})


@torch.no_grad()
def _bound(kind: str) -> tuple[Figure, str]:
    values: dict[str, Any] = {}
    for name, arguments in _VARIANTS[kind].items():
        found = []
        for width in _WIDTHS.tolist():
            known = Known(width, _config(kind, **arguments), 4000)
            torch.manual_seed(0)
            loss = known.objective(known.model, Batch(known.x), _CONTEXT)["model"].terms["loss"].mean()
            found.append(float(loss) - known.exact)
        values[name] = found
    values["exact $-\\log p(x)$"] = [0.0] * len(_WIDTHS)
    note = " With a weight below 1 it is no bound." if kind == "elbo" else ""
    figure = curves(_WIDTHS, values, "scale of q, as a multiple of the exact posterior's", "nats above $-\\log p(x)$")
    return figure, (
        f"The loss `{kind}` in a linear model with two latent numbers, where $-\\log p(x)$ is known (dashed), as q becomes narrower "
        f"or wider than $p(z \\mid x)$. A mean over 4,000 data.{note}"
    )


def _signal(kind: str) -> tuple[Figure, str]:
    """The signal-to-noise ratio of the encoder's gradient."""
    numbers = (1, 4, 16, 64, 256)
    values: dict[str, Any] = {}
    for name in ("iwae", kind):
        # as many sets as samples in each
        halves = {k: {"samples": round(k**0.5), "outer": round(k**0.5)} for k in numbers}
        arguments = halves if name == "piwae" else {k: {"samples": k} for k in numbers}
        values[name] = [_ratio(Known(1.4, _config(name, **arguments[k]), 64)) for k in numbers]
    across = "samples K" if kind == "dreg" else "samples M K"
    figure = curves(numbers, values, across, "signal / noise", xscale="log", yscale="log")
    why = {
        "dreg": "With `iwae` it falls as K grows, with `dreg` it rises",
        "piwae": "`piwae` takes as many sets M as samples K in each, so that its signal rises where that of `iwae` falls",
    }[kind]
    return figure, (
        "Mean over standard deviation of the gradient of the posterior's log-variances, from 500 estimates with 64 data in a "
        f"linear model whose q is too wide (1.4 times the exact scale). {why}."
    )


def _ratio(known: Known) -> float:
    players = known.objective.players(known.model)
    name = "inference" if "inference" in players else "model"
    bias = linear(known.model.posterior).bias
    torch.manual_seed(0)
    found = []
    for _ in range(500):
        loss = known.objective(known.model, Batch(known.x), _CONTEXT)[name].value.mean()
        found.append(torch.autograd.grad(loss, bias)[0][LATENTS:])
    gradients = torch.stack(found)
    return float((gradients.mean(0).abs() / gradients.std(0)).mean())


@torch.no_grad()
def _players() -> tuple[Figure, str]:
    names = ("wake", "sleep")
    figure, plots = axes(2)
    for plot, phase in zip(plots, names, strict=True):
        found = []
        widths = _WIDTHS[4:]  # narrower, weights have no variance and the wake phase is biased
        for width in widths.tolist():
            known = Known(width, _config("wake_sleep", samples=200, phases=phase), 4000)
            torch.manual_seed(0)
            losses = known.objective(known.model, Batch(known.x), _CONTEXT)
            found.append(float(losses["inference"].value.mean()))
        plot.plot(widths, found)
        plot.axvline(1.0, color="0.6", linestyle=":")
        plot.set(title=f"inference loss, {phase}", xlabel="scale of q", ylabel="nats")
    return figure, (
        "The loss of the inference network in a linear model with 200 samples, against the scale of q as a multiple of the exact "
        "posterior's. Both phases are least at the exact posterior (dotted)."
    )


def _labels() -> tuple[Figure, str]:
    import tempfile

    import vaelab

    values: dict[str, Any] = {}
    for weight in (0.0, 1.0, 10.0):
        content = {
            "name": "labels",
            "data": {
                "kind": "few_labels",
                "labels": 50,
                "data": {"kind": "digits", "binarisation": "dynamic", "validation": 300},
            },
            "model": {
                "encoder": {"kind": "mlp", "hidden": [128]},
                "posterior": {"kind": "product", "parts": ["categorical", {"kind": "diagonal_normal", "hidden": [64]}]},
                "prior": {
                    "kind": "product",
                    "chained": True,
                    "parts": [
                        {"kind": "categorical", "variables": 1, "classes": 10},
                        {"kind": "standard_normal", "dim": 8},
                    ],
                },
                "decoder": {"kind": "mlp", "hidden": [128]},
                "likelihood": "bernoulli",
            },
            "objective": {"kind": "semi_supervised", "classification_weight": weight},
            "training": {
                "epochs": 30,
                "batch_size": 64,
                "validation": ["label_accuracy"],
                "optimiser": {"kind": "adam", "lr": 0.002},
            },
            "evaluation": {"metrics": ["label_accuracy"], "figures": []},
        }
        with tempfile.TemporaryDirectory() as folder:
            lines = [
                line for line in vaelab.train(content, folder, device="cpu").history if line["split"] == "validation"
            ]
        values[f"classification weight {weight:g}"] = [line["label_accuracy"] for line in lines]
    figure = curves(range(1, len(lines) + 1), values, "epoch", "accuracy of q(y | x)", ylim=(0, 1))
    return (
        figure,
        "Validation accuracy of the label's posterior during a training on the 8 x 8 digits, of which 50 have a label.",
    )


@torch.no_grad()
def _pair() -> tuple[Figure, str]:
    spec = DataSpec((2,), "real", companion="pair")
    content = {
        "encoder": {"kind": "mlp", "hidden": [4]},
        "posterior": "diagonal_normal",
        "prior": {"kind": "standard_normal", "dim": 2},
        "decoder": {"kind": "mlp", "hidden": []},
        "likelihood": "normal",
    }
    one, two = torch.tensor([[-1.0, 0.3]]), torch.tensor([[1.1, 0.6]])
    figure, plots = axes(3, 5.2, 1.9)
    titles = ("q of each datum", "shared: mean", "shared: product")
    for plot, title in zip(plots, titles, strict=True):
        aggregation = title.removeprefix("shared: ")
        arguments = {"aggregation": aggregation} if title != titles[0] else {}
        model, objective = build(ModelConfig.model_validate(content), _config("weakly_supervised", **arguments), spec)
        hand_on(model, torch.eye(2), torch.tensor([-1.4, -1.8]))
        batch = Batch(one, companion=Batch(two))
        alone = title == titles[0]
        trace = model.infer(Batch(torch.cat([one, two]))) if alone else objective.trace(model, batch)
        q = trace.groups[0].q
        assert isinstance(q, DiagonalNormal)
        angle = torch.linspace(0, 2 * torch.pi, 120)
        for i in range(2):
            for radius in (1.0, 2.0):
                circle = q.loc[0, i][:, None] + radius * q.scale[0, i][:, None] * torch.stack(
                    [angle.cos(), angle.sin()]
                )
                plot.plot(*circle, color=SET[i], linewidth=1.0)
        plane(plot, (-2.6, 2.6), (-1.6, 2.4))
        plot.set_title(title)
    return figure, (
        "The posteriors of the two data of a pair (two colours, at one and two standard deviations), and what `weakly_supervised` "
        "makes of them: the latent upwards differs little and is shared, the one across is not."
    )
