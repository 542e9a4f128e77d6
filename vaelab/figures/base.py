"""Base of the figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from pydantic import Field

from vaelab.model import VAE
from vaelab.registry import ComponentConfig
from vaelab.types import DataSplits

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

#: How many of something a figure puts side by side. More than these are no picture, and would fill the memory.
Few = Annotated[int, Field(gt=0, le=1000)]


@dataclass(frozen=True)
class FigureContext:
    """What a figure may draw on besides the model.

    Attributes:
        data: the data set.
        history: the lines of metrics.jsonl.
        seed: of every draw.
        title: name of the run.
    """

    data: DataSplits
    history: Sequence[dict[str, Any]] = ()
    seed: int = 0
    title: str = ""


C = TypeVar("C", bound=ComponentConfig)


class Figure(ABC, Generic[C]):
    """Maps a model and its data to pictures."""

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def draw(self, model: VAE, context: FigureContext) -> dict[str, Picture]:
        """Pictures by file name (without an ending); none where the model has nothing to show.

        Called without gradients, in evaluation mode, with the random state seeded.
        """
