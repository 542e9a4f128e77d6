"""What objectives with any terms share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, TypeVar

from torch import Tensor, nn

from vaelab.divergences import Divergence, DivergenceConfig
from vaelab.errors import NoDensityError
from vaelab.inference import Trace, sample_mean
from vaelab.objectives.base import MODEL, Loss, Objective, ObjectiveConfig
from vaelab.registry import DIVERGENCES, ComponentConfig, default
from vaelab.types import Batch, BuildContext, StepContext

if TYPE_CHECKING:
    from vaelab.model import VAE


class TermsConfig(ObjectiveConfig):
    """Arguments of an objective with terms."""

    divergences: tuple[Annotated[ComponentConfig, DIVERGENCES], ...] = default(("kl",))
    """The terms beside the distortion."""


C = TypeVar("C", bound=TermsConfig)


class WithTerms(Objective[C]):
    r"""Distortion plus weighted divergences of one pass, $-\mathbb{E}_q \log p(x \mid z) + \sum_j w_j D_j$, averaged over K.

    A subclass may choose another pass by `trace`.
    """

    def __init__(self, config: C, context: BuildContext) -> None:
        super().__init__(config, context)
        built: list[Divergence[DivergenceConfig]] = [DIVERGENCES.build(term, context) for term in config.divergences]
        seen: dict[str, int] = {}
        for divergence in built:
            seen[divergence.name] = seen.get(divergence.name, 0) + 1
            if seen[divergence.name] > 1:
                divergence.name = f"{divergence.name}_{seen[divergence.name]}"
        self.divergences = nn.ModuleList(built)

    def terms(self) -> Iterator[Divergence[DivergenceConfig]]:
        """The divergences in their order."""
        for divergence in self.divergences:
            assert isinstance(divergence, Divergence)
            yield divergence

    def forward(self, model: VAE, batch: Batch, context: StepContext) -> dict[str, Loss]:
        trace = self.trace(model, batch)
        distortion = -sample_mean(trace.log_px)
        total, terms = distortion, {"distortion": distortion}
        losses: dict[str, Loss] = {}
        for divergence in self.terms():
            try:
                value: Tensor = divergence(trace, context)
            except NoDensityError as error:
                raise NoDensityError(f"divergence '{divergence.name}': {error}") from error
            weight = divergence.weight_of(value, context)
            # most weights are 1 for good, where the product is work for nothing
            one = isinstance(weight, float) and divergence.weight.constant and weight == 1.0
            total = total + (value if one else weight * value)
            terms[divergence.name] = value
            if isinstance(weight, Tensor):
                terms[f"{divergence.name}/weight"] = weight.expand_as(value)
            if divergence.adversary is not None:
                adversary_loss = divergence.adversary.loss(trace, context)
                losses[divergence.name] = Loss(adversary_loss, {f"{divergence.name}/adversary": adversary_loss})
        return {MODEL: Loss(total, {"loss": total, **terms}), **losses}

    def trace(self, model: VAE, batch: Batch) -> Trace:
        """The pass that is scored."""
        return model.infer(batch, self.config.samples)

    def players(self, model: VAE) -> dict[str, list[nn.Parameter]]:
        adversaries = {d.name: list(d.adversary.parameters()) for d in self.terms() if d.adversary is not None}
        theirs = {id(parameter) for parameters in adversaries.values() for parameter in parameters}
        own = [parameter for parameter in self.parameters() if id(parameter) not in theirs]
        return {MODEL: [*model.parameters(), *own], **adversaries}

    def optimisers(self) -> dict[str, ComponentConfig]:
        return {d.name: d.adversary.optimiser for d in self.terms() if d.adversary is not None}

    def check(self, model: VAE, batch: Batch) -> None:
        trace = self.trace(model, batch)
        for divergence in self.terms():
            divergence.check(model, trace)
