"""Base of the priors."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import Discriminator, PositiveInt, Tag
from torch import Tensor, nn

from vaelab.distributions import Distribution
from vaelab.registry import ComponentConfig
from vaelab.types import Batch, BuildContext, GroupSpec, LatentSpec, Shape, State

#: A latent vector's length, or the shape of a latent map. Told apart by hand, so that a mistake is reported once.
LatentShape = Annotated[
    Annotated[PositiveInt, Tag("vector")] | Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], Tag("map")],
    Discriminator(lambda value: "map" if isinstance(value, list | tuple) else "vector"),
]

C = TypeVar("C", bound=ComponentConfig)


def as_shape(shape: LatentShape) -> Shape:
    """`20` is the shape `(20,)`."""
    return (shape,) if isinstance(shape, int) else tuple(shape)


class Prior(nn.Module, Generic[C]):
    """The generative order of the latents. Owns their shapes.

    Attributes:
        latent: the groups, in the order in which they are drawn.
        readout_shape: of what the decoder receives.
    """

    latent: LatentSpec
    readout_shape: Shape

    def __init__(self, config: C, context: BuildContext) -> None:
        super().__init__()
        self.config = config

    def initial(
        self, batch_shape: tuple[int, int], condition: Tensor | None = None, data: Batch | None = None
    ) -> State:
        """The state before the first group; `data` are given in `infer` and None in `generate`."""
        return State(batch_shape, condition=condition, data=data)

    def group(self, i: int, state: State) -> Distribution:
        """p(z_i | z_<i); its batch shape broadcasts to `(K, B)`."""
        raise NotImplementedError

    def advance(self, i: int, state: State, z: Tensor) -> State:
        """The state after z_i `[K, B, *event]` was drawn."""
        return state.advanced(z)

    def readout(self, state: State) -> Tensor:
        """What the decoder receives, `[K, B, *readout_shape]`."""
        return state.zs[-1]


class FlatPrior(Prior[C]):
    """A prior with one group that depends on nothing. A subclass writes `distribution()`.

    Its config names the latent shape `dim`.
    """

    def __init__(self, config: C, context: BuildContext) -> None:
        super().__init__(config, context)
        self.shape = as_shape(getattr(config, "dim"))  # noqa: B009  each flat prior's config declares it
        self.latent = LatentSpec((GroupSpec(self.shape),))
        self.readout_shape = self.shape

    def distribution(self) -> Distribution:
        """p(z), of batch shape `()`."""
        raise NotImplementedError

    def group(self, i: int, state: State) -> Distribution:
        return self.distribution()
