"""Base of the samplers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from torch import Tensor

from vaelab.inference import Generation
from vaelab.metrics.base import Value
from vaelab.model import VAE
from vaelab.registry import ComponentConfig
from vaelab.types import DataSplits

C = TypeVar("C", bound=ComponentConfig)


class Sampler(ABC, Generic[C]):
    """Where the latents of new data come from: the model's prior, or a density fitted to what the posterior yields.

    Attributes:
        values: what fitting yielded, by name, such as the log-likelihood of latents that were held out; empty where nothing
            is fitted.
    """

    def __init__(self, config: C) -> None:
        self.config = config
        self.values: dict[str, Value] = {}

    @abstractmethod
    def fit(self, model: VAE, data: Callable[[], DataSplits]) -> None:
        """Take the model to sample from, and learn from the data what is to be learned.

        Args:
            model: the model.
            data: reads the data; not called by a sampler that learns nothing, which then works without them.

        Raises:
            BuildError: the model's latents are not what the sampler is for.
        """

    @abstractmethod
    def sample(self, number: int, temperature: float = 1.0, condition: Tensor | None = None) -> Generation:
        """N new data with their latents. Call it in evaluation mode; the draws come from the global random state.

        Args:
            number: N.
            temperature: of the latents; 1 is the fitted density, less keeps to its modes.
            condition: what a conditional model is conditioned on, `[N, ...]`; drawn where None.
        """
