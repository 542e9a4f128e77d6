"""The penalty of discrete codes."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vaelab.divergences.base import Divergence, DivergenceConfig
from vaelab.errors import BuildError
from vaelab.inference import Trace
from vaelab.model import VAE
from vaelab.registry import DIVERGENCES
from vaelab.types import StepContext


class CommitmentConfig(DivergenceConfig):
    """Arguments of the commitment penalty."""

    kind: Literal["commitment"] = "commitment"


@DIVERGENCES.register(CommitmentConfig)
class Commitment(Divergence[CommitmentConfig]):
    r"""What the codes' own sampling asks for, such as $\beta\lVert z_e - \mathrm{sg}[e]\rVert^2$.

    van den Oord et al. (2017, equation 3); the posterior defines the penalty and its beta.

    *Cost*: none; the codes' sampling has computed it.

    Use it with every posterior that quantises, where without it the encoder's outputs drift from the codes; it has no
    effect on others.
    """

    takes_penalty = True

    def check(self, model: VAE, trace: Trace) -> None:
        if all(group.penalty is None for group in trace.groups):
            raise BuildError(
                f"divergence '{self.name}' weighs the penalty of discrete codes, and posterior "
                f"'{model.posterior.config.kind}' has none. Remove the term or use a posterior over codes."
            )

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        penalties = [group.penalty for group in trace.groups if group.penalty is not None]
        total = sum(penalties[1:], start=penalties[0])
        return total.mean(0)
