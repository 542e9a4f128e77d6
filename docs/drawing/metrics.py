"""Metrics: the value of each over a family of models or codes of which one knows how they differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

import vaelab
from drawing.canvas import curves
from drawing.linear import Known
from drawing.runs import trained
from vaelab.metrics import EvaluationContext, Value, measure
from vaelab.metrics.factor_codes import Codes, FactorMetric
from vaelab.registry import METRICS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_WIDTHS = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)
#: Arguments, and beginnings of the names of the values that are drawn; all of them unless it is here.
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "annealed_importance": {"chains": 8, "limit": 40, "simulated": 40},
    "amortisation_gap": {"limit": 200, "steps": 200, "samples": 200},
    "importance_nll": {"samples": 64},
    "aggregate_kl": {"limit": 1000},
    "mutual_information": {"limit": 1000},
    "bits_per_dim": {"samples": 32, "levels": 17, "limit": 200},
    "clustering": {"starts": 3},
    "few_label_probe": {"labels": [1, 5, 20], "draws": 5},
    "fid": {"number": 360},
    "kid": {"number": 360, "subset": 90},
    "precision_recall": {"number": 360},
    "label_entropy": {"number": 360},
    "ood": {"limit": 100, "steps": 50, "samples": 20},
    "beta_vae_score": {"train": 2000, "test": 1000},
    "factor_vae_score": {"train": 2000, "test": 1000},
}
_SHOWN: dict[str, Sequence[str]] = {
    "active_units": ("active_units",),
    "collapse": ("collapsed_units", "mismatched_units"),
    "few_label_probe": ("few_label_accuracy",),
    "importance_nll": ("nll_is",),
    "imputation": ("imputation_mse",),
    "bits_per_dim": ("bpd",),
}
_LINEAR = (
    "importance_nll",
    "negative_elbo",
    "amortisation_gap",
    "mutual_information",
    "aggregate_kl",
)
_OWN_EXACT = ("importance_nll", "negative_elbo")


def draw(kind: str) -> tuple[Figure, str]:
    """One kind: figure and description."""
    if issubclass(METRICS[kind].component, FactorMetric):
        return _turned(kind)
    if kind in _LINEAR:
        return _widths(kind)
    if kind in ("imputation", "annealed_importance"):
        return _hidden() if kind == "imputation" else _temperatures()
    return _labels() if kind == "label_accuracy" else _weights(kind)


def _config(kind: str, **more: Any) -> Any:
    return METRICS[kind].config.model_validate({"kind": kind, **_ARGUMENTS.get(kind, {}), **more})


def _collected(kind: str, points: Sequence[Callable[[], dict[str, Value]]]) -> dict[str, list[float]]:
    """Each value's curve; `nll_is64` as it is called."""
    found: dict[str, list[float]] = {}
    for point in points:
        for name, value in point().items():
            if "/" not in name and name.startswith(tuple(_SHOWN.get(kind, ("",)))):
                found.setdefault(name, []).append(value.value)
    return {name: values for name, values in found.items() if len(values) == len(points)}


def _widths(kind: str) -> tuple[Figure, str]:
    def point(width: float) -> dict[str, Value]:
        known = Known(width)
        return measure([_config(kind)], known.model, known.split(), EvaluationContext())

    values: dict[str, Any] = _collected(kind, [lambda w=w: point(w) for w in _WIDTHS])
    if kind in _OWN_EXACT:
        values["exact $-\\log p(x)$"] = [Known().exact] * len(_WIDTHS)
    figure = curves(_WIDTHS, values, "scale of q, as a multiple of the exact posterior's", "nats")
    dashed = " Dashed is the exact $-\\log p(x)$." if kind in _OWN_EXACT else ""
    return figure, (
        "In a linear model of six numbers with two latents, whose exact posterior is known, as q becomes narrower or wider than "
        f"it, on 1,000 data at most.{dashed}"
    )


def _temperatures() -> tuple[Figure, str]:
    steps = (10, 30, 100, 300)
    known = Known(number=40)
    values: dict[str, Any] = {}
    for number in steps:
        config = _config("annealed_importance", steps=number)
        for name, value in measure([config], known.model, known.split(), EvaluationContext()).items():
            if "nll" in name:
                values.setdefault(name.partition("_ais")[0], []).append(value.value)
    values["exact $-\\log p(x)$"] = [known.exact] * len(steps)
    return curves(steps, values, "temperatures", "nats", xscale="log"), (
        "In a linear model whose exact $-\\log p(x)$ is known (dashed), on 40 data, with 8 chains. The simulated data are 40 others, "
        "drawn by the model: forward and reverse annealing enclose their value."
    )


@cache
def _trained(weight: float) -> vaelab.Run:
    """A model of the 8 x 8 digits whose KL has this weight."""
    return _run(
        {"kind": "digits", "binarisation": "dynamic"},
        {"divergences": [{"kind": "kl", "weight": weight}]},
    )


def _run(data: dict[str, Any], objective: dict[str, Any], **model: Any) -> vaelab.Run:
    parts = {"prior": {"kind": "standard_normal", "dim": 10}, **model}
    with trained(data=data, model=parts, objective=objective, training={"epochs": 40}) as run:
        return run


def _measured(kind: str, run: vaelab.Run, **more: Any) -> dict[str, Value]:
    return measure([_config(kind, **more)], run.model, run.data.test, EvaluationContext(data=run.data))


def _weights(kind: str) -> tuple[Figure, str]:
    more: dict[str, Any] = {}
    note = ""
    if kind == "ood":
        more = {"data": {"kind": "sprites", "size": 8, "binarisation": "dynamic", "test_limit": 200}}
        note = " The other data are small shapes, `sprites` of 8 x 8 pixels."
    if kind == "latent_usage":
        note = " The explained variance of all units falls as more of them are unused."
    points = [lambda w=w: _measured(kind, _trained(w), **more) for w in _WEIGHTS]
    values = _collected(kind, points)
    figure = curves(_WEIGHTS, values, "weight of the KL", "value", xscale="log")
    return figure, f"In models of the 8 x 8 digits with ten latents, trained with several weights of the KL.{note}"


def _hidden() -> tuple[Figure, str]:
    shares = (0.1, 0.3, 0.5, 0.7, 0.9)

    def point(share: float) -> dict[str, Value]:
        data = {"kind": "incomplete", "share": share, "data": {"kind": "digits", "binarisation": "threshold"}}
        return _measured("imputation", _run(data, {}))

    figure = curves(
        shares, _collected("imputation", [lambda s=s: point(s) for s in shares]), "share of hidden pixels", "error"
    )
    return (
        figure,
        "In models of the 8 x 8 digits, trained on incomplete data; `..._mean` is what each pixel's mean would do.",
    )


def _labels() -> tuple[Figure, str]:
    numbers = (20, 50, 100, 300, 1000)

    def point(labels: int) -> dict[str, Value]:
        parts = [{"kind": "categorical", "variables": 1, "classes": 10}, {"kind": "standard_normal", "dim": 8}]
        run = _run(
            {"kind": "few_labels", "labels": labels, "data": {"kind": "digits", "binarisation": "dynamic"}},
            {"kind": "semi_supervised"},
            prior={"kind": "product", "chained": True, "parts": parts},
            posterior={"kind": "product", "parts": ["categorical", {"kind": "diagonal_normal", "hidden": [64]}]},
        )
        return _measured("label_accuracy", run)

    values = _collected("label_accuracy", [lambda n=n: point(n) for n in numbers])
    figure = curves(numbers, values, "training data with a label", "accuracy", xscale="log", ylim=(0, 1))
    return figure, "In semi-supervised models of the 8 x 8 digits, trained with so many labels; chance is 1/10."


def _turned(kind: str) -> tuple[Figure, str]:
    """Codes that are two factors each, turned towards one another."""
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, size, 4000) for size in (6, 6, 8, 8)], 1)
    standard = (factors - factors.mean(0)) / factors.std(0)
    metric: Any = METRICS.build(_config(kind))
    angles = np.linspace(0, 45, 10)

    def point(angle: float) -> dict[str, Value]:
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        turn = np.kron(np.eye(2), np.array([[c, -s], [s, c]]))
        codes = np.concatenate([standard @ turn.T, 0.01 * rng.normal(size=(4000, 1))], 1)
        scale = np.full_like(codes, 0.1)
        scale[:, -1] = 1.0
        rate = np.array([2.0] * 4 + [0.0])
        found: dict[str, Value] = metric.score(
            Codes(codes + 0.02 * rng.normal(size=codes.shape), scale, rate, factors), factors, list("abcd"), 0
        )
        return found

    values = _collected(kind, [lambda a=a: point(a) for a in angles])
    figure = curves(angles, values, "angle by which pairs of codes are turned / degrees", "value", ylim=(0, 1.05))
    return figure, (
        "For codes that are four factors with a little noise, and a fifth that is noise alone. At 0 degrees a code is a factor; at 45 "
        "each of two codes has half of two factors."
    )
