"""The doubly reparametrised gradient of the importance-weighted bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import PositiveInt
from torch import Tensor

from vaelab.errors import BuildError
from vaelab.objectives.base import MODEL, Loss, Objective, ObjectiveConfig
from vaelab.objectives.bounds import iwae_bound, terms
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, StepContext

if TYPE_CHECKING:
    from vaelab.model import VAE


class DregConfig(ObjectiveConfig):
    """Arguments of the doubly reparametrised bound."""

    kind: Literal["dreg"] = "dreg"

    samples: PositiveInt = 5
    """K, importance samples a datum."""


@OBJECTIVES.register(DregConfig)
class Dreg(Objective[DregConfig]):
    r"""The importance-weighted bound with a doubly reparametrised gradient for the inference network.

    $\sum_k \tilde w_k^2 \frac{\partial \log w_k}{\partial z_k}\frac{\partial z_k}{\partial\phi}$ with the normalised
    weights $\tilde w$ (Tucker et al. 2019, equation 8): unbiased, without the score term, and with a ratio of signal to
    noise that grows with K where the variance of the weights is finite. The generative model's gradient is that of
    `iwae`. For models with one latent group.

    *Cost*: K passes of the decoder and one of the encoder, as `iwae`.

    Use it in place of `iwae` for a continuous latent when K is large, as it keeps the encoder's signal; it needs
    reparametrised draws.
    """

    def check(self, model: VAE, batch: Batch) -> None:
        if model.depth != 1:
            raise BuildError(
                f"objective 'dreg' is derived for one latent group, and prior '{model.prior.config.kind}' has "
                f"{model.depth}. Use the objective 'iwae'."
            )

    def forward(self, model: VAE, batch: Batch, context: StepContext) -> dict[str, Loss]:
        trace = model.infer(batch, self.config.samples)
        group = trace.groups[0]
        assert group.q is not None
        log_weight = trace.log_px + group.log_p - group.q.detached().log_prob(group.z)
        weight = log_weight.detach().softmax(0)

        def weigh_again(gradient: Tensor) -> Tensor:
            return gradient * weight.reshape(*weight.shape, *(1 for _ in gradient.shape[2:]))

        if group.z.requires_grad:
            group.z.register_hook(weigh_again)
        surrogate = -(weight * log_weight).sum(0)
        bound = -iwae_bound(log_weight.detach())
        return {MODEL: Loss(surrogate, terms(trace, bound, log_weight))}
