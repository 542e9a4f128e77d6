"""Models with a known answer, and splits that lie in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vaelab.build import build_model
from vaelab.config import ModelConfig
from vaelab.datasets.memory import MemorySplit
from vaelab.model import VAE
from vaelab.types import DataSpec, Values

D, Z, SIGMA = 6, 2, 0.7


def split_of(x: Tensor, y: Tensor | None = None, values: Values = "real", classes: int | None = None) -> MemorySplit:
    return MemorySplit(DataSpec(tuple(x.shape[1:]), values, classes), x.flatten(1), y)


class Linear:
    """x = W z + b + sigma e, whose p(x) and p(z | x) are normals in closed form.

    The columns of W are orthogonal, so that the exact posterior has a diagonal covariance and the VAE can hold it.
    """

    def __init__(self) -> None:
        g = torch.Generator().manual_seed(3)
        basis, _ = torch.linalg.qr(torch.randn(D, Z, generator=g))
        self.weight = basis * torch.tensor([1.5, 0.8])
        self.bias = torch.randn(D, generator=g)
        self.covariance = self.weight @ self.weight.T + SIGMA**2 * torch.eye(D)
        self.marginal = torch.distributions.MultivariateNormal(self.bias, self.covariance)
        self.posterior_variance = 1 / (1 + self.weight.square().sum(0) / SIGMA**2)
        self.x = self.weight @ torch.randn(50, Z, 1, generator=g)
        self.x = self.x.squeeze(-1) + self.bias + SIGMA * torch.randn(50, D, generator=g)

    def model(self, *, exact: bool = True) -> VAE:
        config: dict[str, Any] = {
            "encoder": {"kind": "mlp", "hidden": [2 * D], "activation": "relu"},
            "posterior": "diagonal_normal",
            "prior": {"kind": "standard_normal", "dim": Z},
            "decoder": {"kind": "mlp", "hidden": []},
            "likelihood": {"kind": "normal", "sigma": "fixed", "scale": SIGMA},
        }
        model = build_model(ModelConfig.model_validate(config), DataSpec((D,), "real"))
        (encoder,) = [m for m in model.encoder.modules() if isinstance(m, torch.nn.Linear)]
        (head,) = [m for m in model.posterior.modules() if isinstance(m, torch.nn.Linear)]
        (decoder,) = [m for m in model.decoder.modules() if isinstance(m, torch.nn.Linear)]
        gain = self.posterior_variance[:, None] * self.weight.T / SIGMA**2
        with torch.no_grad():
            # relu(x) - relu(-x) = x, so this encoder hands x on
            encoder.weight.copy_(torch.cat([torch.eye(D), -torch.eye(D)]))
            encoder.bias.zero_()
            head.weight.zero_()
            head.weight[:Z] = torch.cat([gain, -gain], 1)
            head.bias[:Z] = -gain @ self.bias
            head.bias[Z:] = self.posterior_variance.log() + (0.0 if exact else 2.0)
            decoder.weight.copy_(self.weight)
            decoder.bias.copy_(self.bias)
        return model


@pytest.fixture(scope="session")
def linear() -> Linear:
    return Linear()


@pytest.fixture
def splits_of() -> Callable[..., MemorySplit]:
    return split_of
