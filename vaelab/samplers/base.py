"""Base of the samplers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from vaelab.inference import Generation
from vaelab.model import VAE
from vaelab.registry import ComponentConfig
from vaelab.types import Split

C = TypeVar("C", bound=ComponentConfig)


class Sampler(ABC, Generic[C]):
    """Where the latents of new data come from: the model's prior, or a density fitted to what the posterior yields."""

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def fit(self, model: VAE, train: Split) -> None:
        """Take the model to sample from, and learn from the training data what is to be learned."""

    @abstractmethod
    def sample(self, number: int, temperature: float = 1.0) -> Generation:
        """N new data with their latents. Call it in evaluation mode; the draws come from the global random state.

        Args:
            number: N.
            temperature: of the latents; 1 is the fitted density, less keeps to its modes.
        """
