"""Base of the samplers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from vaelab.inference import Generation
from vaelab.model import VAE
from vaelab.registry import ComponentConfig
from vaelab.types import DataSplits

C = TypeVar("C", bound=ComponentConfig)


class Sampler(ABC, Generic[C]):
    """Where the latents of new data come from: the model's prior, or a density fitted to what the posterior yields."""

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def fit(self, model: VAE, data: Callable[[], DataSplits]) -> None:
        """Take the model to sample from, and learn from the data what is to be learned.

        Args:
            model: the model.
            data: reads the data; not called by a sampler that learns nothing, which then works without them.
        """

    @abstractmethod
    def sample(self, number: int, temperature: float = 1.0) -> Generation:
        """N new data with their latents. Call it in evaluation mode; the draws come from the global random state.

        Args:
            number: N.
            temperature: of the latents; 1 is the fitted density, less keeps to its modes.
        """
