"""What the posteriors over discrete latents share: a temperature and an estimator."""

from __future__ import annotations

from typing import Literal, Self, TypeVar

from pydantic import model_validator

from vaelab.posteriors.base import Posterior, PosteriorConfig
from vaelab.registry import default
from vaelab.schedules import PositiveScalar, schedule
from vaelab.types import BuildContext, StepContext


class RelaxedConfig(PosteriorConfig):
    """Arguments of a posterior that is relaxed while training."""

    temperature: PositiveScalar = default(0.5)
    """Tau: a number or a schedule; small values have less bias and more variance."""

    estimator: Literal["relaxed", "straight_through"] = "relaxed"
    """What training draws: relaxed values, or exact ones with the gradient of the relaxed ones."""

    @model_validator(mode="after")
    def _positive(self) -> Self:
        # schedules are monotonous or cyclical, so that a few points of the run tell
        tau = schedule(self.temperature)
        values = [tau(StepContext(step, 1, 1000, 1)) for step in (*range(0, 1001, 50), 10**9)]
        if min(values) <= 0:
            raise ValueError(f"the temperature must stay above 0, and it reaches {min(values):g}")
        return self


C = TypeVar("C", bound=RelaxedConfig)


class RelaxedPosterior(Posterior[C]):
    """A posterior whose draws are relaxed in training mode and exact in evaluation mode."""

    multiplicity = 1

    def __init__(self, config: C, context: BuildContext) -> None:
        super().__init__(config, context)
        self.context = context
        self.temperature = schedule(config.temperature)

    def relaxation(self) -> tuple[float, bool]:
        """The temperature at this step, and whether draws are exact with a straight-through gradient."""
        exact = not self.training or self.config.estimator == "straight_through"
        return self.temperature(self.context.model.step_context), exact
