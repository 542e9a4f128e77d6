"""Reweighted wake-sleep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import PositiveInt
from torch import nn

from vaelab.errors import BuildError
from vaelab.inference import posterior_log_prob
from vaelab.objectives.base import MODEL, Loss, Objective, ObjectiveConfig
from vaelab.objectives.bounds import INFERENCE, iwae_bound, split_players, terms
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, StepContext

if TYPE_CHECKING:
    from vaelab.model import VAE


class WakeSleepConfig(ObjectiveConfig):
    """Arguments of reweighted wake-sleep."""

    kind: Literal["wake_sleep"] = "wake_sleep"

    samples: PositiveInt = 10
    """K, importance samples a datum."""

    phases: Literal["wake", "sleep", "both"] = "both"
    """What the inference network learns from: data, the model's own draws, or both."""


@OBJECTIVES.register(WakeSleepConfig)
class WakeSleep(Objective[WakeSleepConfig]):
    r"""Reweighted wake-sleep, two players with one loss each (Bornschein & Bengio 2015, equations 6 to 8).

    The generative model minimises $-\log\frac1K\sum_k w_k$. The inference network minimises
    $-\sum_k \tilde w_k \log q(z_k \mid x)$ on data (wake) and $-\log q(z \mid x)$ on draws $(x, z)$ of the model (sleep).
    Draws are constants, so discrete latents are allowed too. The second player, `inference`, uses the training's
    optimiser.

    *Cost*: K passes of the decoder, two gradients, and with sleep a draw of the model and a pass of the encoder
    over it.

    Use it for discrete latents without relaxations, and for large K, which helps its encoder where it hurts that of
    `iwae`; draws are constants, so with few samples its gradients are noisy.
    """

    pathwise = False

    def forward(self, model: VAE, batch: Batch, context: StepContext) -> dict[str, Loss]:
        trace = model.infer(batch, self.config.samples, pathwise=False)
        log_weight = trace.log_weight
        loss = -iwae_bound(log_weight)
        inference = torch.zeros_like(loss)
        if self.config.phases != "sleep":
            log_q = torch.stack([group.log_q for group in trace.groups]).sum(0)
            inference = inference - (log_weight.detach().softmax(0) * log_q).sum(0)
        if self.config.phases != "wake":
            dream = model.generate(len(batch), condition=batch.condition)
            dreamt = Batch(dream.sample(), condition=batch.condition)
            inference = inference - posterior_log_prob(model, dreamt, dream.zs)
        return {
            MODEL: Loss(loss, terms(trace, loss, log_weight)),
            INFERENCE: Loss(inference, {"inference/loss": inference}),
        }

    def check(self, model: VAE, batch: Batch) -> None:
        with torch.enable_grad():
            groups = model.infer(batch, pathwise=False).groups
            if not any(group.log_q.requires_grad for group in groups):
                raise BuildError(
                    f"objective 'wake_sleep' trains the inference network by log q of constant draws, which for posterior "
                    f"'{model.posterior.config.kind}' depends on no parameter. Use the objective 'elbo', or a posterior with a "
                    "density."
                )

    def players(self, model: VAE) -> dict[str, list[nn.Parameter]]:
        return split_players(model)
