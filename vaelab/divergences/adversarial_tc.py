"""Total correlation by a discriminator (FactorVAE)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn import functional as F

from vaelab.divergences.base import Adversary, Divergence, DivergenceConfig
from vaelab.divergences.latents import flat_latents
from vaelab.inference import Trace
from vaelab.nets import mlp
from vaelab.registry import DIVERGENCES, OPTIMISERS, ComponentConfig, default
from vaelab.schedules import Scalar
from vaelab.shared_batch import common_draws, own_rows, whole
from vaelab.types import BuildContext, StepContext, numel


class AdversarialTCConfig(DivergenceConfig):
    """Arguments of the adversarial total correlation."""

    kind: Literal["adversarial_tc"] = "adversarial_tc"

    weight: Scalar = default(10.0)
    """Gamma: a number or a schedule."""

    hidden: tuple[PositiveInt, ...] = (1000, 1000, 1000, 1000, 1000)
    """Widths of the discriminator."""

    optimiser: Annotated[ComponentConfig, OPTIMISERS] = default(
        {"kind": "adam", "lr": 1e-4, "beta1": 0.5, "beta2": 0.9}
    )
    """The discriminator's optimiser."""

    @classmethod
    def example(cls) -> AdversarialTCConfig:
        return cls(hidden=(16,))


class _Discriminator(Adversary):
    def loss(self, trace: Trace, context: StepContext) -> Tensor:
        z = flat_latents(trace).detach()
        # the paper permutes a second batch; permuting the same one differs by one in B, as its authors' code does
        everything = whole(z)
        with common_draws(z.device):
            orders = [torch.randperm(len(everything), device=z.device) for _ in range(z.shape[1])]
        own = own_rows(len(z))
        shuffled = torch.stack(
            [column[order[own]] for column, order in zip(everything.unbind(1), orders, strict=True)], 1
        )
        joint = self(z).squeeze(1)
        product = self(shuffled).squeeze(1)
        return 0.5 * (F.softplus(-joint) + F.softplus(product))


@DIVERGENCES.register(AdversarialTCConfig)
class AdversarialTC(Divergence[AdversarialTCConfig]):
    r"""FactorVAE's total correlation, $\mathbb{E}_{q(z)}[\log D(z) - \log(1 - D(z))]$.

    Kim & Mnih (2018, equation 3). The discriminator D tells draws of q(z) from draws of the product of its marginals,
    made by permuting each component over the batch; its optimum makes the term the total correlation. All latent groups
    are taken together, K = 1 sample of each.

    *Cost*: a small discriminator of latents and its own update.

    Use it for disentangled factors with less loss of reconstruction than a larger KL weight; the density-ratio estimate
    is biased while the discriminator lags, and no term finds factors without luck in data and seed (Locatello et al.
    2019).
    """

    def __init__(self, config: AdversarialTCConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        size = sum(numel(group.shape) for group in context.latent.groups)
        self.adversary = _Discriminator(mlp((size, *config.hidden, 1), "leaky_relu", last=False), config.optimiser)

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        assert self.adversary is not None
        return self.adversary(flat_latents(trace)).squeeze(1)
