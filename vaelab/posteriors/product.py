"""A posterior for each group."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, cast

from pydantic import Field
from torch import Tensor, nn

from vaelab.distributions import Distribution
from vaelab.errors import BuildError
from vaelab.posteriors.base import Posterior
from vaelab.registry import POSTERIORS, ComponentConfig
from vaelab.types import BuildContext, LatentSpec, State


class ProductConfig(ComponentConfig):
    """Arguments of the product of posteriors."""

    kind: Literal["product"] = "product"

    parts: tuple[Annotated[ComponentConfig, POSTERIORS], ...] = Field(min_length=2)
    """The posteriors, one a latent group of the prior, in the order of the groups."""

    @classmethod
    def example(cls) -> ProductConfig:
        return cls.model_validate({"parts": ["diagonal_normal", "categorical"]})


@POSTERIORS.register(ProductConfig)
class ProductPosterior(Posterior[Any]):
    r"""$q(z \mid x) = \prod_i q_i(z_i \mid z_{<i}, x)$, with a kind of posterior for each group.

    With a normal and a categorical part it is JointVAE's (Dupont 2018, section 3.2). It goes with the prior `product`,
    and with a hierarchy whose groups want different families.

    *Cost*: the sum of its parts.

    Use it where latent groups are of different kinds, such as one class and some real numbers; the discrete part is
    easily ignored unless a capacity or labels call for it.
    """

    def __init__(self, config: ProductConfig, context: BuildContext) -> None:
        nn.Module.__init__(self)  # the base would build heads of its own
        self.config = config
        specs, shapes = context.latent.groups, context.feature_shapes
        prior, encoder = context.names["prior"], context.names["encoder"]
        shared = len(set(context.latent.weights)) < len(specs)
        if len(config.parts) != len(specs) or shared:
            steps = " that share one posterior" if shared else ""
            raise BuildError(
                f"posterior 'product' has {len(config.parts)} parts and {prior} has {len(specs)} latent groups{steps}. "
                "Name one part a group, of a prior such as 'product'."
            )
        if len(shapes) not in (1, len(specs)):
            raise BuildError(
                f"{encoder} yields {len(shapes)} features and {prior} has {len(specs)} latent groups. Use an encoder with "
                "one feature, or with one a group."
            )
        self.single_feature = len(shapes) == 1
        self.parts = nn.ModuleList(
            POSTERIORS.build(
                part,
                replace(
                    context,
                    names={**context.names, "posterior": f"posterior 'product' (its '{part.kind}')"},
                    latent=LatentSpec((spec,)),
                    feature_shapes=(shapes[0 if self.single_feature else i],),
                    _model=lambda: context.model,
                ),
            )
            for i, (part, spec) in enumerate(zip(config.parts, specs, strict=True))
        )

    def group(self, i: int, features: tuple[Tensor, ...], state: State, p: Distribution | None) -> Distribution:
        feature = features[0 if self.single_feature else i]
        return self._part(i).group(0, (feature,), state, p)

    def lookup(self, i: int, index: Tensor) -> Tensor:
        """Code vectors of group i, where its part has codes."""
        vectors: Tensor = self._part(i).lookup(0, index)
        return vectors

    def find(self, i: int, z: Tensor) -> Tensor:
        """The inverse of `lookup`."""
        index: Tensor = self._part(i).find(0, z)
        return index

    def _part(self, i: int) -> Any:
        return cast("Any", self.parts[i])
