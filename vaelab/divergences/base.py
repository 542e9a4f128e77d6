"""Base of the divergences."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from jaxtyping import Float
from torch import Tensor, nn

from vaelab.inference import Trace
from vaelab.registry import ComponentConfig, default
from vaelab.schedules import Scalar, schedule
from vaelab.types import BuildContext, StepContext

if TYPE_CHECKING:
    from vaelab.model import VAE


class DivergenceConfig(ComponentConfig):
    """Arguments that every term has."""

    weight: Scalar = default(1.0)
    """What the term is multiplied by: a number or a schedule."""


C = TypeVar("C", bound=DivergenceConfig)


class Adversary(nn.Module):
    """A second player: a network with a loss and an optimiser of its own.

    A divergence that sets its attribute `adversary` to one makes the trainer add a player. The adversary's parameters
    receive gradients from `loss` only, and the model's from the divergence's value only.
    """

    def __init__(self, network: nn.Module, optimiser: ComponentConfig) -> None:
        super().__init__()
        self.network = network
        self.optimiser = optimiser

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def loss(self, trace: Trace, context: StepContext) -> Float[Tensor, " B"]:
        """What the adversary minimises, `[B]`. Detach what comes from the model."""
        raise NotImplementedError


class Divergence(nn.Module, Generic[C]):
    """A term of the loss.

    Attributes:
        name: under which it is logged, unweighted.
        weight: its schedule.
        adversary: the second player, or None.
        takes_penalty: whether the value contains the penalty of the groups' draws.
    """

    takes_penalty: ClassVar[bool] = False

    def __init__(self, config: C, context: BuildContext) -> None:
        super().__init__()
        self.config = config
        self.name = config.kind
        self.weight = schedule(config.weight)
        # set here and not in the class, where it would hide the submodule that a subclass registers
        self.adversary: Adversary | None = None

    def check(self, model: VAE, trace: Trace) -> None:
        """Refuse a model that the term has no meaning for; called when the model is built, with a trial pass.

        Raises:
            BuildError: naming the term and the other component.
        """

    def weight_of(self, value: Tensor, context: StepContext) -> float | Tensor:
        """What the value `[B]` is multiplied by in a training step; a tensor `[]` is logged as the term's `weight`."""
        return self.weight(context)

    def forward(self, trace: Trace, context: StepContext) -> Float[Tensor, " B"]:
        """The value of each datum `[B]`, nats, before its weight. Statistics of a batch are broadcast."""
        raise NotImplementedError
