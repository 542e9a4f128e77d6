"""Two small runs whose strings are hostile."""

from __future__ import annotations

from typing import Any

import pytest

import vaelab

HOSTILE = """<script>alert("x")</script><img src=x onerror=alert(1)>'"&{{ 7 * 7 }}</style>]]>"""

EXPERIMENT: dict[str, Any] = {
    "name": "tiny",
    "description": HOSTILE,
    "data": {"kind": "digits", "validation": 100, "binarisation": "threshold"},
    "model": {
        "encoder": {"kind": "mlp", "hidden": [16]},
        "posterior": "diagonal_normal",
        "prior": {"kind": "standard_normal", "dim": 3},
        "decoder": {"kind": "mlp", "hidden": [16]},
        "likelihood": "bernoulli",
    },
    "training": {"epochs": 4, "log_every": 5, "optimiser": {"kind": "adam", "lr": 0.01}},
    "evaluation": {
        "metrics": ["negative_elbo", "active_units"],
        "figures": [{"kind": "reconstructions", "number": 6, "columns": 3}, {"kind": "samples", "number": 4}],
    },
}


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[vaelab.Run]:
    folder = tmp_path_factory.mktemp("report")
    other = {**EXPERIMENT, "model": {**EXPERIMENT["model"], "prior": {"kind": "standard_normal", "dim": 2}}}
    return [vaelab.train(content, folder, device="cpu") for content in (EXPERIMENT, {**other, "name": "other"})]
