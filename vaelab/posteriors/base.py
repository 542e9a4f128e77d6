"""Base of the posteriors."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from pydantic import PositiveInt
from torch import Tensor, nn

from vaelab.distributions import Distribution
from vaelab.errors import BuildError
from vaelab.nets import Activation, Head
from vaelab.registry import ComponentConfig
from vaelab.types import BuildContext, GroupSpec, Shape, State, Support


class PosteriorConfig(ComponentConfig):
    """Arguments of the posteriors that have a head a group."""

    hidden: tuple[PositiveInt, ...] = ()
    """Widths of hidden layers between the features and the parameters; residual blocks where the group is a map."""

    activation: Activation = "relu"
    """Activation between them."""


C = TypeVar("C", bound=PosteriorConfig)


class Posterior(nn.Module, Generic[C]):
    """q(z_i | z_<i, x) of each group: a head that joins bottom-up features with top-down context.

    A subclass sets `multiplicity`, how many parameters a latent component has, and writes `distribution`. It then
    serves flat, hierarchical and sequential priors alike. One that needs more overrides `group`.
    """

    multiplicity: ClassVar[int] = 2
    support: ClassVar[Support] = "real"
    #: Whether some parameters are trained by the penalty of the draws alone, so that some term must take it.
    trained_by_penalty: bool = False

    def __init__(self, config: C, context: BuildContext) -> None:
        super().__init__()
        self.config = config
        self.specs = context.latent.groups
        shapes = context.feature_shapes
        if len(shapes) not in (1, len(self.specs)):
            raise BuildError(
                f"{context.names['encoder']} yields {len(shapes)} features and {context.names['prior']} has "
                f"{len(self.specs)} latent groups. Use an encoder with one feature, or with one a group."
            )
        for spec in self.specs:
            if spec.support != self.support:
                raise BuildError(
                    f"{context.names['posterior']} draws {_SUPPORTS[self.support]} and {context.names['prior']} "
                    f"is a distribution over {_SUPPORTS[spec.support]}. Replace one of the two."
                )
        self.single_feature = len(shapes) == 1
        self.shared = context.latent.shared
        #: which head, code book or flow each group uses
        self.weights = context.latent.weights
        owners = [self.weights.index(number) for number in range(max(self.weights) + 1)]
        #: the first group of each of them
        self.owners = tuple(self.specs[i] for i in owners)
        for number in range(len(owners)):
            seen = {shape for shape, weights in zip(shapes, self.weights, strict=False) if weights == number}
            if len(seen) > 1:
                raise BuildError(
                    f"{context.names['prior']} shares one posterior among its steps, so {context.names['encoder']} must "
                    f"yield features of one shape, not {sorted(seen)}."
                )
        self.heads = nn.ModuleList(self.head(shapes[min(i, len(shapes) - 1)], self.specs[i]) for i in owners)

    def head(self, feature_shape: Shape, spec: GroupSpec) -> nn.Module:
        """The network from features and context to `[K, B, multiplicity * C, ...]` parameters."""
        target = (self.multiplicity * spec.shape[0], *spec.shape[1:])
        return Head(feature_shape, spec.context_shape, target, self.config.hidden, self.config.activation)

    def distribution(self, parameters: Tensor, spec: GroupSpec) -> Distribution:
        """q of one group from its parameters `[K or 1, B, multiplicity * C, ...]`; chunk them along axis 2."""
        raise NotImplementedError

    def group(self, i: int, features: tuple[Tensor, ...], state: State, p: Distribution | None) -> Distribution:
        """q(z_i | z_<i, x), of batch shape `(K, B)`. `p` is the group's prior, for those who depend on it, and
        None where the caller is itself a prior made of posteriors."""
        feature = features[0 if self.single_feature else i]
        q = self.distribution(self.heads[self.weights[i]](feature, state.hidden), self.specs[i])
        return q if q.batch_shape == state.batch_shape else q.expand(state.batch_shape)


_SUPPORTS: dict[Support, str] = {
    "real": "real vectors",
    "positive": "vectors of positive numbers",
    "sphere": "unit vectors",
    "ball": "points of the Poincare ball",
    "one_hot": "one-hot vectors",
    "bits": "bits",
    "codes": "discrete codes",
}
