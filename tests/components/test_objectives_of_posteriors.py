"""Every objective and every divergence trains a model with one of these posteriors, or refuses it by name."""

from __future__ import annotations

import math
from typing import Any

import pytest

from contracts.compositions import train
from core.models import bits, model_and
from vaelab.errors import BuildError
from vaelab.registry import DIVERGENCES, OBJECTIVES

POSTERIORS: dict[str, dict[str, Any]] = {
    "dirac": {"posterior": "dirac"},
    "flow": {"posterior": {"kind": "flow", "flow": "iaf", "steps": 2, "width": [8]}},
    "planar": {"posterior": {"kind": "flow", "steps": 2, "amortised": False}},
    "full_normal": {"posterior": "full_normal"},
    "hamiltonian": {"posterior": {"kind": "hamiltonian", "steps": 1}},
    "semi_amortised": {"posterior": {"kind": "semi_amortised", "steps": 1}},
    "von_mises_fisher": {"posterior": "von_mises_fisher", "prior": {"kind": "uniform_sphere", "dim": 4}},
    "riemannian_normal": {"posterior": "riemannian_normal", "prior": {"kind": "ball_normal", "dim": 3}},
}


def objective_of(family: str, kind: str) -> dict[str, Any]:
    if family == "objective":
        return OBJECTIVES[kind].config.example().model_dump(mode="json")
    return {"kind": "elbo", "divergences": [DIVERGENCES[kind].config.example().model_dump(mode="json")]}


LOSSES = [*(("objective", entry.kind) for entry in OBJECTIVES), *(("divergence", entry.kind) for entry in DIVERGENCES)]


@pytest.mark.parametrize(
    ("family", "kind", "name"),
    [
        # all of them with `pytest -m slow`; a third meets each loss and each posterior more than once
        pytest.param(family, kind, name, marks=() if (i + j) % 3 == 0 else pytest.mark.slow)
        for i, (family, kind) in enumerate(LOSSES)
        for j, name in enumerate(POSTERIORS)
    ],
)
def test_trains_or_is_refused_by_name(family: str, kind: str, name: str):
    axes = POSTERIORS[name]
    refusal = ""
    try:
        model, objective = model_and(objective_of(family, kind), **axes)
    except BuildError as error:
        refusal = str(error)
    if refusal:
        posterior = axes["posterior"] if isinstance(axes["posterior"], str) else axes["posterior"]["kind"]
        assert f"'{kind}'" in refusal
        assert f"'{posterior}'" in refusal or "'standard_normal'" in refusal or "the data" in refusal, refusal
    else:
        history, _ = train(model, objective, bits(8))
        assert all(math.isfinite(loss) for loss in history)


@pytest.mark.parametrize("name", sorted(set(POSTERIORS) - {"dirac"}))
def test_the_elbo_and_iwae_train_all_that_have_a_density(name: str):
    for kind in ("elbo", "iwae"):
        model, objective = model_and(kind, **POSTERIORS[name])
        history, _ = train(model, objective, bits(8))
        assert all(math.isfinite(loss) for loss in history)
