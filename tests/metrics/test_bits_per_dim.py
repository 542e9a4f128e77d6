"""Bits per dimension of models whose likelihood is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from vaelab.build import build_model
from vaelab.config import ModelConfig
from vaelab.datasets.memory import MemorySplit
from vaelab.errors import BuildError
from vaelab.metrics import EvaluationContext, Value, measure
from vaelab.metrics.bits_per_dim import BitsPerDimConfig
from vaelab.types import DataSpec

SIZE = 6


def values(
    likelihood: dict[str, Any], kind: str = "unit", *, bias: float | None = 0.0, **more: Any
) -> dict[str, Value]:
    """Of a model whose decoder yields one constant, on levels 0, 1/255, ..., 1, or on bits."""
    config = {
        "encoder": {"kind": "mlp", "hidden": [4]},
        "posterior": "diagonal_normal",
        "prior": {"kind": "standard_normal", "dim": 2},
        "decoder": {"kind": "mlp", "hidden": []},
        "likelihood": likelihood,
    }
    torch.manual_seed(0)
    model = build_model(ModelConfig.model_validate(config), DataSpec((SIZE,), kind))
    if bias is not None:
        for parameter in (*model.decoder.parameters(), *model.posterior.parameters()):
            torch.nn.init.zeros_(parameter)  # the posterior is the prior then, and all weights are p(x)
        (layer,) = [module for module in model.decoder.modules() if isinstance(module, torch.nn.Linear)]
        torch.nn.init.constant_(layer.bias, bias)
    x = torch.randint(256, (200, SIZE)).float() / 255 if kind == "unit" else torch.randint(2, (200, SIZE)).float()
    split = MemorySplit(DataSpec((SIZE,), kind), x, None)
    return measure([BitsPerDimConfig(samples=4, **more)], model, split, EvaluationContext())


def test_levels_that_are_equally_probable() -> None:
    found = values({"kind": "categorical", "levels": 256})
    assert found["bpd_is4"].value == pytest.approx(8, abs=1e-5)
    assert found["bpd_is4"].unit == "bits"
    assert values({"kind": "bernoulli"}, "binary")["bpd_is4"].value == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("levels", [16, 256])
def test_the_uniform_density_gives_every_level_the_same(levels: int) -> None:
    found = values({"kind": "continuous_bernoulli"}, dequantisation="uniform", levels=levels)
    assert found[f"bpd_uniform{levels}_is4"].value == pytest.approx(math.log2(levels), abs=1e-5)


def test_dequantisation_bounds_the_probability_of_the_bins() -> None:
    scale = 0.3
    likelihood = {"kind": "normal", "sigma": "fixed", "scale": scale}
    found = values(likelihood, bias=0.5, dequantisation="uniform")["bpd_uniform256_is4"]
    edges = torch.arange(257).double() / 256
    mass = torch.distributions.Normal(0.5, scale).cdf(edges).diff()
    torch.manual_seed(0)
    exact = -mass.log2().mean().item()  # over levels that are equally frequent
    assert found.stderr is not None
    assert abs(found.value - exact) < 5 * found.stderr
    assert found.stderr < 0.05


@pytest.mark.parametrize(
    "likelihood", [{"kind": "normal", "sigma": "fixed"}, {"kind": "continuous_bernoulli"}, {"kind": "laplace"}]
)
def test_a_density_without_dequantisation_is_refused(likelihood: dict[str, Any]) -> None:
    with pytest.raises(BuildError, match=r"bits_per_dim.*\"uniform\""):
        values(likelihood, bias=None)


def test_what_has_no_bits_has_no_value() -> None:
    assert values({"kind": "bernoulli", "grey": True}) == {}
    assert values({"kind": "bernoulli"}, "binary", dequantisation="uniform") == {}
    assert values({"kind": "normal"}, "real") == {}


def test_discretised_likelihoods_are_probabilities() -> None:
    found = values({"kind": "discretised_logistic"}, bias=None)
    assert found["bpd_is4"].value > 0
