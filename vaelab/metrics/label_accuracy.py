"""How often a latent that stands for the label is the label."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vaelab.inference import infer_latents
from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Split


class LabelAccuracyConfig(ComponentConfig):
    """Arguments of the accuracy: none."""

    kind: Literal["label_accuracy"] = "label_accuracy"


@METRICS.register(LabelAccuracyConfig)
class LabelAccuracy(Metric[LabelAccuracyConfig]):
    r"""The share of data whose label is $\arg\max_y q(y \mid x)$, for models with a latent group that is the label.

    The group is the one categorical variable with a class a label, as in the semi-supervised model M2 (Kingma et al. 2014,
    section 4). Groups before it take their posterior's centre. Nothing where the model has no such group or the data
    have no labels. Without supervision of the classes it tells nothing, since their order is arbitrary.

    *Bias*: none, a mean over labelled data; where groups before the label are not known, their centre stands
    for an average over them. *Cost*: one pass of the encoder.

    Use it for semi-supervised models; for models without a latent that is the label it has nothing to measure.
    """

    by_datum = True

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        groups = model.prior.latent.groups
        shape = (1, split.spec.num_classes)
        found = [i for i, group in enumerate(groups) if group.support == "one_hot" and group.shape == shape]
        if len(found) != 1:
            return {}
        right: list[Tensor] = []
        for batch in context.batches(split):
            if batch.y is None:
                return {}
            latents, _ = infer_latents(model, batch, mean=True)
            label = latents[found[0]].z[0, :, 0].argmax(-1)
            right.append((label == batch.y).float())
        return {"label_accuracy": averaged(right, unit="", better="higher")}
