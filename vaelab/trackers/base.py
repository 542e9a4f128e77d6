"""Base of the trackers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from vaelab.registry import ComponentConfig


@dataclass(frozen=True)
class RunInfo:
    """What a tracker is told of a run.

    Attributes:
        name: of the experiment.
        id: of the run; the same when it is resumed.
        directory: of the run.
        config: the resolved experiment.
        resumed: whether the run goes on from a checkpoint.
    """

    name: str
    id: str
    directory: Path
    config: Mapping[str, Any]
    resumed: bool


C = TypeVar("C", bound=ComponentConfig)


class Tracker(ABC, Generic[C]):
    """Receives what a run yields. The run directory holds all of it already, so a tracker may lose nothing."""

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def start(self, run: RunInfo) -> None:
        """The run begins, or goes on."""

    @abstractmethod
    def log(self, line: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl."""

    @abstractmethod
    def figure(self, name: str, path: Path) -> None:
        """A figure was drawn."""

    @abstractmethod
    def finish(self, summary: Mapping[str, float]) -> None:
        """The run ended; the summary is its evaluation."""

    @abstractmethod
    def close(self, *, failed: bool) -> None:
        """Nothing more will come, whether the run finished or not."""
