"""The ELBO of data of which few have a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from vaelab.errors import BuildError
from vaelab.inference import Trace
from vaelab.objectives.base import MODEL, Loss, Objective, ObjectiveConfig
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, BuildContext, StepContext

if TYPE_CHECKING:
    from vaelab.model import VAE


class SemiSupervisedConfig(ObjectiveConfig):
    """Arguments of the semi-supervised bound."""

    kind: Literal["semi_supervised"] = "semi_supervised"

    labelled_weight: float = Field(default=1.0, ge=0)
    """Weight of the labelled bound. All data of a batch count alike at 1 where it has as many labelled as other data."""

    classification_weight: float = Field(default=1.0, ge=0)
    """Alpha: weight of the cross-entropy of q(y | x) on labelled data, nats a datum."""


@OBJECTIVES.register(SemiSupervisedConfig)
class SemiSupervised(Objective[SemiSupervisedConfig]):
    r"""The semi-supervised bound $\mathcal U + w\,\mathcal L - \alpha \log q(y \mid x)$ of M2 (Kingma et al. 2014, equations 6-9).

    $\mathcal L(x, y) = -\mathbb E_{q(z \mid x, y)}[\log p(x \mid y, z)] - \log p(y) + \mathrm{KL}(q(z \mid x, y) \,\|\, p(z))$
    of labelled data, and the label of other data is summed out exactly,
    $\mathcal U(x) = \sum_y q(y \mid x)\,[\mathcal L(x, y) + \log q(y \mid x)]$, by one pass whose first axis are the classes. The
    label is the latent group of one categorical variable with a class a label; every other group's posterior should
    see it (`"chained": true` of the prior `product`). It needs the data set `few_labels`. Their $\alpha = 0.1 N$ of a sum over N data
    is a weight of 0.1 here, and their w is the share of labelled data.

    *Cost*: a pass of posterior and decoder for every class, an unlabelled datum.

    Use it when few data have labels and classes are well separated; each unlabelled datum costs a pass for every class,
    and without the classification weight q(y | x) learns slowly.
    """

    def __init__(self, config: SemiSupervisedConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        classes = context.data.num_classes
        if context.data.companion != "labelled" or classes is None:
            raise BuildError(
                "objective 'semi_supervised' needs data of which few have a label. Wrap the data set in 'few_labels': "
                '{"kind": "few_labels", "data": {...}, "labels": 100}.'
            )
        self.classes = classes
        groups = context.latent.groups
        found = [i for i, group in enumerate(groups) if group.support == "one_hot" and group.shape == (1, classes)]
        if len(found) != 1:
            raise BuildError(
                f"objective 'semi_supervised' needs one latent group that is the label, a categorical variable of {classes} "
                f"classes, and {context.names['prior']} has {len(found)} of them. Use the prior 'product' with a part "
                f'{{"kind": "categorical", "variables": 1, "classes": {classes}}}.'
            )
        if config.samples != 1:
            raise BuildError("objective 'semi_supervised' draws one z a class. Leave out \"samples\".")
        self.group = found[0]

    def forward(self, model: VAE, batch: Batch, context: StepContext) -> dict[str, Loss]:
        labelled = batch.companion
        assert labelled is not None
        assert labelled.y is not None
        every = torch.eye(self.classes, device=batch.x.device, dtype=batch.x.dtype).view(self.classes, 1, 1, -1)
        unknown = model.infer(batch, self.classes, proposed={self.group: every.expand(-1, len(batch), -1, -1)})
        log_q = unknown.groups[self.group].log_q
        unlabelled = (log_q.exp() * (self._loss(unknown) + log_q)).sum(0)
        known = model.infer(labelled, proposed={self.group: F.one_hot(labelled.y, self.classes).to(every).unsqueeze(1)})
        bound = self._loss(known).mean().expand_as(unlabelled)
        entropy = -known.groups[self.group].log_q.mean().expand_as(unlabelled)
        loss = unlabelled + self.config.labelled_weight * bound + self.config.classification_weight * entropy
        return {
            MODEL: Loss(
                loss,
                {
                    "loss": loss,
                    "negative_elbo": unlabelled,
                    "labelled/negative_elbo": bound,
                    "labelled/cross_entropy": entropy,
                },
            )
        }

    def _loss(self, trace: Trace) -> Tensor:
        """L(x, y) `[K, B]`."""
        loss = -trace.log_px - trace.groups[self.group].log_p
        for i in range(len(trace.groups)):
            if i != self.group:
                loss = loss + trace.rate(i)
        return loss
