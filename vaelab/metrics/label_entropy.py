"""How evenly generated pictures are spread over the labels of a classifier."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from vaelab.errors import ConfigError
from vaelab.metrics.base import EvaluationContext, Metric, Value
from vaelab.metrics.generated import GenerationConfig, compared
from vaelab.model import VAE
from vaelab.registry import METRICS
from vaelab.types import Split


class LabelEntropyConfig(GenerationConfig):
    """Arguments of label entropy and mode coverage."""

    kind: Literal["label_entropy"] = "label_entropy"

    share: float = Field(default=0.1, ge=0, le=1)
    """A label counts as a mode that is reached where its pictures are more than this part of an even share. At 0 one picture
    is enough."""

    @classmethod
    def example(cls) -> LabelEntropyConfig:
        return cls(number=16)


@METRICS.register(LabelEntropyConfig)
class LabelEntropy(Metric[LabelEntropyConfig]):
    r"""The entropy of a classifier's labels over generated pictures, in nats, and the number of labels that occur.

    $H = -\sum_y \hat p_y \ln \hat p_y$, where $\hat p_y$ is the share of generated pictures whose most probable label is y: as
    `label_entropy_digits`, at most $\ln L$ for L labels. `modes_digits` is the number of labels with $\hat p_y > s / L$ for
    the part s of an even share; at $s = 0$ this is the count of modes of Srivastava et al. (2017, VEEGAN). The
    entropy is the term of the inception score (Salimans et al. 2016) that rewards variety; the other term rewards a
    confident classifier and is left out.

    Estimator: the plug-in one, with the standard error of the mean of $-\ln\hat p_{y_n}$. Bias: about $-(L-1)/(2N)$ (Miller 1955),
    and whatever the classifier does to pictures that are no digit: each gets a label. Data whose labels are not even have
    less than $\ln L$ themselves, so more is better only up to the data's own value.

    Cost: N pictures generated and 2N seen by the extractor, which metrics of generation share. Nothing where the data are no
    images.

    Use it to see whether whole classes are missing; inside a class it sees nothing.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        found = compared(self.config.kind, self.config, model, split, context)
        if found is None:
            return {}
        if found.fake.logits is None:
            raise ConfigError(
                f"metric 'label_entropy' needs a classifier, and extractor '{found.extractor}' is none. Use the extractor 'digits'."
            )
        labels = found.fake.logits.argmax(1)
        entropy, stderr, shares = entropy_of(labels, found.fake.logits.shape[1])
        modes = int((shares > self.config.share / len(shares)).sum())
        end = found.extractor + found.suffix
        return {
            f"label_entropy_{end}": Value(entropy, stderr, better="higher", extractor=found.identity),
            f"modes_{end}": Value(float(modes), unit="", better="higher", extractor=found.identity),
        }


def entropy_of(labels: Tensor, number: int) -> tuple[float, float | None, Tensor]:
    r"""Plug-in entropy of labels `[N]` in nats, its standard error by the delta method, and the shares $\hat p$ `[L]`.

    Args:
        labels: from 0 to `number` - 1.
        number: L.
    """
    shares = torch.bincount(labels, minlength=number).double() / len(labels)
    surprise = -shares[labels].log()
    stderr = float(surprise.std()) / math.sqrt(len(labels)) if len(labels) > 1 else None
    return max(0.0, float(surprise.mean())), stderr, shares
