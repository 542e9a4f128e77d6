"""What the encoder costs."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged
from vaelab.metrics.local_inference import Fit, before_and_after, has_diagonal_normal
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Split


class AmortisationGapConfig(ComponentConfig):
    """Arguments of the amortisation gap."""

    kind: Literal["amortisation_gap"] = "amortisation_gap"

    limit: PositiveInt = 100
    """Use the first so many data; each is optimised by itself."""

    steps: PositiveInt = 300
    """Steps of Adam a datum; in the names."""

    rate: PositiveFloat = 0.05
    """Learning rate of the first step; it falls linearly to 0."""

    draws: PositiveInt = 8
    """Draws of z in a step."""

    samples: PositiveInt = 500
    """K, fresh draws that measure the bounds and importance samples of the likelihood; in the names."""

    max_elements: PositiveInt = 2**22
    """Numbers a pass may hold in one tensor."""

    @classmethod
    def example(cls) -> AmortisationGapConfig:
        return cls(limit=4, steps=3, draws=2, samples=5)


@METRICS.register(AmortisationGapConfig)
class AmortisationGap(Metric[AmortisationGapConfig]):
    r"""The gap between the log-likelihood and the ELBO in two parts, in nats a datum (Cremer et al. 2018, table 1).

    $$\log p(x) - \mathcal L[q] = \underbrace{\log p(x) - \mathcal L[q^*]}_{\text{approximation}} +
      \underbrace{\mathcal L[q^*] - \mathcal L[q]}_{\text{amortisation}}, \qquad
      q^* = \arg\max_{\mathcal N(\mu, \operatorname{diag}\sigma^2)} \mathcal L[q]$$

    q is the encoder's posterior. $q^*$ is found for each datum by Adam on $(\mu, \log\sigma)$ from the encoder's start, and both
    bounds are measured with the same K fresh draws: `amortisation_gap_steps300`. *Bias*: $\log p(x)$ is estimated by K
    importance samples of $q^*$, whose expectation is a lower bound: so `approximation_gap_steps300_is500` and the sum
    `inference_gap_steps300_is500` are low where K is small. The amortisation gap is low where the steps do not suffice, and may be
    a little below 0 where the encoder is as good as $q^*$.

    For one latent group with a diagonal normal posterior; nothing for other models, whose optimum within their own
    family it would not be.

    *Cost*: some hundreds of decoder passes with gradients a datum.

    Use it to decide between a larger encoder and a richer posterior: the first closes the amortisation gap alone, the second the
    approximation gap.
    """

    by_datum = True

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        config = self.config
        context = context.limited(config.limit)
        if not has_diagonal_normal(model, context.batches(split)):
            return {}
        fit = Fit(config.steps, config.rate, config.draws)
        amortisation: list[Tensor] = []
        approximation: list[Tensor] = []
        for whole in context.batches(split):
            for before, after in before_and_after(model, whole, fit, config.samples, config.max_elements):
                amortisation.append(after.elbo - before.elbo)
                approximation.append(after.log_px - after.elbo)
        steps, total = f"steps{config.steps}", f"steps{config.steps}_is{config.samples}"
        both = [a + b for a, b in zip(amortisation, approximation, strict=True)]
        return {
            f"amortisation_gap_{steps}": averaged(amortisation, better="lower"),
            f"approximation_gap_{total}": averaged(approximation, better="lower"),
            f"inference_gap_{total}": averaged(both, better="lower"),
        }
