"""Product of independent priors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from vaelab.distributions import Distribution
from vaelab.errors import BuildError
from vaelab.priors.base import Prior
from vaelab.registry import PRIORS, ComponentConfig
from vaelab.types import Batch, BuildContext, LatentSpec, State, numel

if TYPE_CHECKING:
    from vaelab.model import VAE


class ProductConfig(ComponentConfig):
    """Arguments of the product of priors."""

    kind: Literal["product"] = "product"

    parts: tuple[Annotated[ComponentConfig, PRIORS], ...] = Field(min_length=2)
    """The priors, each with one latent group."""

    chained: bool = False
    """Whether the posterior of a group sees the groups before it; else only x."""

    @classmethod
    def example(cls) -> ProductConfig:
        return cls.model_validate(
            {"parts": [{"kind": "standard_normal", "dim": 3}, {"kind": "categorical", "variables": 1, "classes": 3}]}
        )


@PRIORS.register(ProductConfig)
class ProductPrior(Prior[ProductConfig]):
    r"""Independent latent groups, $p(z) = \prod_i p_i(z_i)$, each with any prior that has one group.

    With a normal and a categorical part it has the latents of JointVAE (Dupont 2018); the posterior `product` names one
    posterior a group. The decoder receives the flattened groups one after another. With
    `chained` the posterior is $\prod_i q(z_i \mid z_{<i}, x)$, as that of the semi-supervised model M2 (Kingma et al. 2014).

    *Cost*: the sum of its parts.

    Use it for latents of different kinds side by side, such as one class and some real numbers; its groups are
    independent, so dependence between them needs `top_down`.
    """

    def __init__(self, config: ProductConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        parts: list[Prior[Any]] = []
        for i, part in enumerate(config.parts):
            parts.append(PRIORS.build(part, _context_of(i, part.kind, context)))
            latent = parts[i].latent
            if latent.depth != 1 or latent.groups[0].context_shape is not None:
                raise BuildError(
                    f"prior 'product' takes priors with one group that depends on nothing, and '{part.kind}' (part {i}) has "
                    f"{latent.depth}. Choose one such as 'standard_normal' or 'categorical'."
                )
        self.parts = nn.ModuleList(parts)
        groups = [part.latent.groups[0] for part in parts]
        if config.chained:
            for i in range(1, len(groups)):
                before = sum(numel(group.shape) for group in groups[:i])
                groups[i] = replace(groups[i], context_shape=(before,))
        self.latent = LatentSpec(tuple(groups))
        self.readout_shape = (sum(numel(part.readout_shape) for part in parts),)

    def _parts(self) -> Iterator[Prior[Any]]:
        for part in self.parts:
            yield cast("Prior[Any]", part)

    def initial(
        self, batch_shape: tuple[int, int], condition: Tensor | None = None, data: Batch | None = None
    ) -> State:
        state = super().initial(batch_shape, condition, data)
        for part in self._parts():  # one of them may draw the condition that was not given
            state = replace(state, condition=part.initial(batch_shape, state.condition, data).condition)
        return state

    def group(self, i: int, state: State) -> Distribution:
        part = cast("Prior[Any]", self.parts[i])
        return part.group(0, part.initial(state.batch_shape, state.condition, state.data))

    def advance(self, i: int, state: State, z: Tensor) -> State:
        if not self.config.chained:
            return state.advanced(z)
        return state.advanced(z, hidden=torch.cat([drawn.flatten(2) for drawn in (*state.zs, z)], 2))

    def readout(self, state: State) -> Tensor:
        codes = []
        for part, z in zip(self._parts(), state.zs, strict=True):
            own = part.advance(0, part.initial(state.batch_shape, state.condition, state.data), z)
            codes.append(part.readout(own).flatten(2))
        return torch.cat(codes, 2)


class _PosteriorOfPart:
    """The model's posterior as a part sees it: the part's group is number 0."""

    def __init__(self, posterior: Any, i: int) -> None:
        self._posterior = posterior
        self._i = i

    def group(self, _: int, features: tuple[Tensor, ...], state: State, p: Distribution | None) -> Distribution:
        found: Distribution = self._posterior.group(self._i, features, state, p)
        return found

    def lookup(self, _: int, index: Tensor) -> Tensor:
        vectors: Tensor = self._posterior.lookup(self._i, index)
        return vectors

    def find(self, _: int, z: Tensor) -> Tensor:
        index: Tensor = self._posterior.find(self._i, z)
        return index

    def parameters(self) -> Iterator[nn.Parameter]:
        found: Iterator[nn.Parameter] = self._posterior.parameters()
        return found


class _ModelOfPart:
    """The model as a part sees it, for those that are made of posteriors or of their codes."""

    def __init__(self, model: VAE, i: int) -> None:
        self._model = model
        self.posterior = _PosteriorOfPart(model.posterior, i)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def _context_of(i: int, kind: str, context: BuildContext) -> BuildContext:
    names = {**context.names, "prior": f"prior 'product' (its '{kind}')"}
    return replace(context, names=names, _model=lambda: cast("VAE", _ModelOfPart(context.model, i)))
