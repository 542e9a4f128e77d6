"""Base of the objectives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import PositiveInt
from torch import Tensor, nn

from vaelab.registry import ComponentConfig
from vaelab.types import Batch, BuildContext, StepContext

if TYPE_CHECKING:
    from vaelab.model import VAE

#: Name of the player whose parameters are the model's.
MODEL = "model"


class ObjectiveConfig(ComponentConfig):
    """Arguments that every objective has."""

    samples: PositiveInt = 1
    """K, importance samples a datum."""

    reduction: Literal["mean", "sum"] = "mean"
    """How the losses of a batch become one. The mean keeps the step independent of the batch size."""


C = TypeVar("C", bound=ObjectiveConfig)


@dataclass(slots=True)
class Loss:
    """What one player minimises.

    Attributes:
        value: `[B]`, nats a datum.
        terms: what is logged, by name, each `[B]`.
    """

    value: Tensor
    terms: dict[str, Tensor]


class Objective(nn.Module, Generic[C]):
    """Maps a batch to one loss a player.

    Attributes:
        pathwise: True where the objective differentiates through the samples, which `Distribution.draw` must allow.
    """

    pathwise = True

    def __init__(self, config: C, context: BuildContext) -> None:
        super().__init__()
        self.config = config
        self.register_forward_pre_hook(_tell_step, with_kwargs=True)

    def forward(self, model: VAE, batch: Batch, context: StepContext) -> dict[str, Loss]:
        """The losses by player; `MODEL` is always there."""
        raise NotImplementedError

    def players(self, model: VAE) -> dict[str, list[nn.Parameter]]:
        """The parameters of each player."""
        return {MODEL: list(model.parameters())}

    def optimisers(self) -> dict[str, ComponentConfig]:
        """The optimisers that players other than the model bring along."""
        return {}

    def check(self, model: VAE, batch: Batch) -> None:
        """Refuse a model that this objective cannot train.

        Raises:
            BuildError: naming both components.
        """


def _tell_step(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Let the model's components know the step, so that no objective has to hand it on."""
    model = kwargs["model"] if "model" in kwargs else args[0]
    model.step_context = kwargs["context"] if "context" in kwargs else args[2]
