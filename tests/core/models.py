"""Small models and steps that several tests build."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch

from vaelab.build import build, build_model
from vaelab.config import ModelConfig
from vaelab.errors import ConfigError, DataError
from vaelab.metrics import EvaluationContext, measure
from vaelab.model import VAE
from vaelab.objectives import Objective
from vaelab.registry import METRICS, OBJECTIVES, ComponentConfig
from vaelab.types import Batch, DataSpec, Split, StepContext, Values

FLAT: dict[str, Any] = {
    "encoder": {"kind": "mlp", "hidden": [12], "activation": "tanh"},
    "posterior": "diagonal_normal",
    "prior": {"kind": "standard_normal", "dim": 4},
    "decoder": {"kind": "mlp", "hidden": [12], "activation": "tanh"},
    "likelihood": "bernoulli",
}

HIERARCHY: dict[str, Any] = {
    **FLAT,
    "prior": {
        "kind": "top_down",
        "top": {"kind": "standard_normal", "dim": 3},
        "groups": [4, 2],
        "width": 8,
        "activation": "tanh",
    },
    "encoder": {"kind": "pyramid", "width": 8, "activation": "tanh"},
}

CHAIN: dict[str, Any] = {
    **FLAT,
    "prior": {"kind": "markov_chain", "steps": 4, "dim": 3, "hidden": 8},
    "encoder": {"kind": "gru", "hidden": 8},
    "decoder": {"kind": "per_step", "hidden": [8], "activation": "tanh"},
}

CODES: dict[str, Any] = {
    **FLAT,
    "posterior": {"kind": "vq"},
    "prior": {"kind": "uniform_codes", "codes": 8, "dim": 4, "positions": [2, 2]},
    "encoder": {"kind": "conv", "channels": [4, 8], "hidden": []},
    "decoder": {"kind": "conv", "channels": [8, 4]},
}


def model_config(base: dict[str, Any], **axes: Any) -> ModelConfig:
    return ModelConfig.model_validate({**base, **axes})


def flat_model(shape: tuple[int, ...] = (1, 8, 8), values: Values = "binary", **axes: Any) -> VAE:
    torch.manual_seed(0)
    return build_model(model_config(FLAT, **axes), DataSpec(shape, values))


def model_and(
    objective: dict[str, Any] | str,
    base: dict[str, Any] = FLAT,
    shape: tuple[int, ...] = (1, 8, 8),
    values: Values = "binary",
    **axes: Any,
) -> tuple[VAE, Objective[Any]]:
    torch.manual_seed(0)
    return build(model_config(base, **axes), OBJECTIVES._validate(objective), DataSpec(shape, values))


def bits(number: int = 6, shape: tuple[int, ...] = (1, 8, 8), dtype: torch.dtype = torch.float32) -> Batch:
    generator = torch.Generator().manual_seed(3)
    return Batch(torch.rand(number, *shape, generator=generator, dtype=dtype).round())


def applicable(model: VAE, split: Split) -> list[ComponentConfig]:
    """The examples of all metrics that do not ask for more than these data: known factors, or the training data."""
    configs = []
    for entry in METRICS:
        with suppress(DataError, ConfigError):
            measure([entry.config.example()], model, split, EvaluationContext(batch_size=7))
            configs.append(entry.config.example())
    kinds = {config.kind for config in configs}
    assert {"negative_elbo", "importance_nll", "reconstruction", "active_units", "latent_usage"} <= kinds
    return configs


def losses(
    objective: Objective[Any], model: VAE, batch: Batch, seed: int = 5, context: StepContext | None = None
) -> torch.Tensor:
    """The model's loss `[B]`, with the noise of this seed."""
    torch.manual_seed(seed)
    return objective(model, batch, context or StepContext())["model"].value
