"""Fitting a network's density to latents."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from vaelab.errors import NonFiniteError
from vaelab.optimisers import Optimiser
from vaelab.registry import OPTIMISERS, ComponentConfig, default
from vaelab.samplers.fitted import FittedConfig
from vaelab.types import StepContext

#: Greatest norm of the gradient.
_CLIP = 10.0


class TrainedConfig(FittedConfig):
    """Arguments of a density that is trained by gradients."""

    epochs: PositiveInt = 50
    """Passes through the latents."""

    batch_size: PositiveInt = 256
    """Latents a step."""

    optimiser: Annotated[ComponentConfig, OPTIMISERS] = default("adam")
    """Of the network."""


def maximise_likelihood(
    module: nn.Module, log_prob: Callable[[Tensor], Tensor], z: Tensor, config: TrainedConfig
) -> None:
    """Train a module's parameters so that the mean of `log_prob` over the latents grows.

    Args:
        module: whose parameters.
        log_prob: maps `[B, ...]` latents to `[B]` nats.
        z: `[M, ...]` latents.
        config: how.

    Raises:
        NonFiniteError: the likelihood became NaN or infinite.
    """
    optimiser: Optimiser[Any] = OPTIMISERS.build(config.optimiser, module.parameters())
    per_epoch = math.ceil(len(z) / config.batch_size)
    step, total = 0, per_epoch * config.epochs
    for _ in range(config.epochs):
        sum_of_epoch = torch.zeros((), device=z.device)
        for rows in torch.randperm(len(z)).to(z.device).split(config.batch_size):
            optimiser.torch.zero_grad()
            loss = -log_prob(z[rows]).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(optimiser.parameters, _CLIP)
            optimiser.step(StepContext(step, per_epoch, total, len(z)))
            sum_of_epoch = sum_of_epoch + loss.detach()
            step += 1
        if not math.isfinite(float(sum_of_epoch)):
            raise NonFiniteError(
                f"sampler '{config.kind}': the likelihood of the latents became NaN or infinite. Lower the learning rate "
                "(optimiser.lr)."
            )
    module.requires_grad_(False)
