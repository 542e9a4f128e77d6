"""Every metric and every figure on models with discrete, mixed and conditional latents."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from core.models import FLAT, applicable, model_config
from vaelab.build import build_model
from vaelab.datasets.memory import MemorySplit
from vaelab.figures import FigureContext
from vaelab.metrics import EvaluationContext, measure, seeded
from vaelab.model import VAE
from vaelab.registry import FIGURES
from vaelab.types import DataSpec, DataSplits

CONV = {"kind": "conv", "channels": [4, 8], "hidden": []}
CODES = {"codes": 8, "dim": 4, "positions": [2, 2]}
ONE_HOT = {"kind": "categorical", "variables": 2, "classes": 3}
MODELS: dict[str, dict[str, Any]] = {
    "categorical": {**FLAT, "posterior": "categorical", "prior": ONE_HOT},
    "bits": {**FLAT, "posterior": "bernoulli", "prior": {"kind": "bernoulli", "dim": [2, 4, 4]}},
    "joint": {
        **FLAT,
        "posterior": {"kind": "product", "parts": ["diagonal_normal", "categorical"]},
        "prior": {"kind": "product", "parts": [{"kind": "standard_normal", "dim": 2}, ONE_HOT]},
    },
    "fsq": {
        **FLAT,
        "encoder": CONV,
        "posterior": {"kind": "fsq", "levels": [8]},
        "prior": {"kind": "autoregressive_codes", **CODES, "hidden": 6},
    },
    "residual": {
        **FLAT,
        "encoder": CONV,
        "posterior": {"kind": "residual_vq", "quantisers": 3},
        "prior": {"kind": "uniform_codes", **CODES},
    },
    "resampled": {**FLAT, "prior": {"kind": "resampled", "base": {"kind": "standard_normal", "dim": 2}}},
    "conditional": {
        **FLAT,
        "encoder": {"kind": "conditional"},
        "prior": {"kind": "conditional", "dim": 2, "readout": "latent_and_condition"},
    },
}
EACH = pytest.mark.parametrize("name", MODELS)


def made(name: str) -> tuple[VAE, DataSplits]:
    torch.manual_seed(0)
    spec = DataSpec((1, 8, 8), "binary", 3, (3,) if name == "conditional" else None)
    x = torch.rand(40, 64).round()
    split = MemorySplit(spec, x, torch.arange(40) % 3)
    return build_model(model_config(MODELS[name]), spec).eval(), DataSplits(split, None, split, {})


@EACH
def test_metrics_are_finite_and_repeatable(name: str):
    model, data = made(name)
    configs = applicable(model, data.test)
    one, two = (measure(configs, model, data.test, EvaluationContext(seed=1)) for _ in range(2))
    assert {"negative_elbo", "nll_is20"} & set(one)
    assert all(math.isfinite(value.value) for value in one.values())
    assert {key: value.value for key, value in one.items()} == {key: value.value for key, value in two.items()}
    assert ("codes_used" in one) == (name in ("fsq", "residual"))


@EACH
def test_figures_are_drawn_or_left_out(name: str):
    model, data = made(name)
    drawn: set[str] = set()
    for entry in FIGURES:
        with seeded(3), torch.no_grad():
            pictures = FIGURES.build(entry.config.example()).draw(model, FigureContext(data))
        drawn |= set(pictures)
        for picture in pictures.values():
            picture.canvas.draw()
    assert {"samples", "reconstructions"} <= drawn
    real = name in ("joint", "resampled", "conditional")
    assert any(key.startswith("traversals") for key in drawn) == real
