"""Errors of the reconstructions."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor

from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged
from vaelab.metrics.passes import chunks, offered
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Split


class ReconstructionConfig(ComponentConfig):
    """Arguments of the reconstruction errors."""

    kind: Literal["reconstruction"] = "reconstruction"

    samples: PositiveInt = 1
    """Draws of z a datum."""

    max_elements: PositiveInt = 2**24
    """Numbers a pass may hold in one tensor; what does not fit is done in parts."""


@METRICS.register(ReconstructionConfig)
class Reconstruction(Metric[ReconstructionConfig]):
    r"""Squared and absolute error of reconstructions, a mean over the observed pixels.

    $(x-\hat x)^2$ and $\lvert x-\hat x\rvert$ with $\hat x = \mathbb{E}[x \mid z]$, $z \sim q(z \mid x)$.
    In the data's own units, so that models with different likelihoods can be compared, deterministic autoencoders too
    (Ghosh et al. 2020, section 5). Nothing where the likelihood has
    no mean in closed form.

    *Bias*: none, a mean over one draw a datum of q. Deterministic autoencoders have an advantage, as their code
    has no noise. *Cost*: one pass of the model.

    Use it to compare autoencoders; it rewards copying alone, and says nothing about samples.
    """

    by_datum = True

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        squared: list[Tensor] = []
        absolute: list[Tensor] = []
        samples = self.config.samples
        for whole in context.batches(split):
            for batch, counts in chunks(model, whole, samples, self.config.max_elements):
                sums = [batch.x.new_zeros(len(batch)), batch.x.new_zeros(len(batch))]
                for count in counts:
                    mean = offered(model.infer(batch, count).likelihood, "mean")
                    if mean is None:
                        return {}
                    error = (mean - batch.x).flatten(2)
                    if batch.observed is None:
                        number: int | Tensor = error.shape[-1]
                    else:
                        seen = batch.observed.flatten(1)
                        error, number = error * seen, seen.sum(-1).clamp_min(1)
                    sums[0] += (error.square().sum(-1) / number).sum(0)
                    sums[1] += (error.abs().sum(-1) / number).sum(0)
                squared.append(sums[0] / samples)
                absolute.append(sums[1] / samples)
        return {
            "reconstruction_mse": averaged(squared, unit="", better="lower"),
            "reconstruction_mae": averaged(absolute, unit="", better="lower"),
        }
