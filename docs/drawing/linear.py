"""A model whose answer is known: $x = Wz + b + \\sigma\\epsilon$ with orthogonal columns of W, so that $p(z \\mid x)$ is diagonal."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from vaelab.build import build
from vaelab.config import ModelConfig
from vaelab.datasets.memory import MemorySplit
from vaelab.model import VAE
from vaelab.objectives import Objective
from vaelab.registry import OBJECTIVES, ComponentConfig
from vaelab.types import DataSpec

SIZE, LATENTS, NOISE = 6, 2, 0.7


class Known:
    """Model, data and the exact $-\\log p(x)$ in nats a datum; q is the exact posterior with scales `width` times as large."""

    def __init__(self, width: float = 1.0, objective: ComponentConfig | None = None, number: int = 1000) -> None:
        g = torch.Generator().manual_seed(3)
        basis, _ = torch.linalg.qr(torch.randn(SIZE, LATENTS, generator=g))
        self.weight = basis * torch.tensor([1.5, 0.8])
        z = torch.randn(number, LATENTS, generator=g)
        self.x = z @ self.weight.T + NOISE * torch.randn(number, SIZE, generator=g)
        covariance = self.weight @ self.weight.T + NOISE**2 * torch.eye(SIZE)
        marginal = torch.distributions.MultivariateNormal(torch.zeros(SIZE), covariance)
        self.exact = -float(marginal.log_prob(self.x).mean())
        self.spec = DataSpec((SIZE,), "real")
        self.model, self.objective = self._built(width, objective or OBJECTIVES["elbo"].config.example())

    def split(self, number: int | None = None) -> MemorySplit:
        """The data as a split."""
        return MemorySplit(self.spec, self.x[:number], None)

    def _built(self, width: float, objective: ComponentConfig) -> tuple[VAE, Objective[Any]]:
        config = {
            "encoder": {"kind": "mlp", "hidden": [2 * SIZE], "activation": "relu"},
            "posterior": "diagonal_normal",
            "prior": {"kind": "standard_normal", "dim": LATENTS},
            "decoder": {"kind": "mlp", "hidden": []},
            "likelihood": {"kind": "normal", "sigma": "fixed", "scale": NOISE},
        }
        model, built = build(ModelConfig.model_validate(config), objective, self.spec)
        variance = 1 / (1 + self.weight.square().sum(0) / NOISE**2)
        hand_on(model, variance[:, None] * self.weight.T / NOISE**2, variance.log() + 2 * math.log(width))
        with torch.no_grad():
            last = linear(model.decoder)
            last.weight.copy_(self.weight)
            last.bias.zero_()
        return model.eval(), built


def hand_on(model: VAE, gain: Tensor, log_variance: Tensor) -> None:
    """Set the encoder to the identity and the posterior to $\\mathcal{N}(Gx, \\operatorname{diag}\\sigma^2)$.

    Args:
        model: with an `mlp` of 2D rectified units and a `diagonal_normal` without hidden layers.
        gain: G `[Z, D]`.
        log_variance: `[Z]`.
    """
    first, head = linear(model.encoder), linear(model.posterior)
    latents, size = gain.shape
    with torch.no_grad():
        # relu(x) - relu(-x) = x
        first.weight.copy_(torch.cat([torch.eye(size), -torch.eye(size)]))
        first.bias.zero_()
        head.weight.zero_()
        head.weight[:latents] = torch.cat([gain, -gain], 1)
        head.bias[:latents] = 0.0
        head.bias[latents:] = log_variance


def linear(module: nn.Module) -> nn.Linear:
    """The one linear layer of a module."""
    (found,) = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return found
