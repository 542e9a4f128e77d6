"""Base of the optimisers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import torch
from pydantic import Field
from torch import nn

from vaelab.registry import ComponentConfig, default
from vaelab.schedules import NonNegativeScalar, schedule
from vaelab.types import StepContext


class OptimiserConfig(ComponentConfig):
    """Arguments that every optimiser has."""

    lr: NonNegativeScalar = default(1e-3)
    """Learning rate: a number or a schedule."""

    weight_decay: float = Field(0.0, ge=0)
    """Weight decay, as torch's optimiser of that name defines it."""


class AdamArguments(OptimiserConfig):
    """Arguments of the Adam family."""

    beta1: float = Field(0.9, ge=0, lt=1)
    """Decay of the running mean of the gradient."""

    beta2: float = Field(0.999, ge=0, lt=1)
    """Decay of the running mean of its square."""

    eps: float = Field(1e-8, gt=0)
    """Added to the denominator."""

    def adam(self) -> dict[str, Any]:
        """The arguments by torch's names."""
        return {"betas": (self.beta1, self.beta2), "eps": self.eps}


C = TypeVar("C", bound=OptimiserConfig)


class Optimiser(ABC, Generic[C]):
    """A torch optimiser over one player's parameters, with its learning rate on a schedule."""

    def __init__(self, config: C, parameters: Iterable[nn.Parameter]) -> None:
        self.config = config
        self.parameters = list(parameters)
        self._lr = schedule(config.lr)
        first = self._lr(StepContext())
        self.torch = self.create(self.parameters, {"lr": first, "weight_decay": config.weight_decay})
        self.take: Callable[[], object] = self.torch.step

    @abstractmethod
    def create(self, parameters: list[nn.Parameter], common: dict[str, Any]) -> torch.optim.Optimizer:
        """The torch optimiser; `common` holds the learning rate and the weight decay."""

    def step(self, context: StepContext) -> None:
        """One step at the learning rate of the schedule."""
        if not self._lr.constant:
            for group in self.torch.param_groups:
                group["lr"] = self._lr(context)
        self.take()

    def clear(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        return float(self.torch.param_groups[0]["lr"])
