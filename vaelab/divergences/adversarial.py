"""Adversaries that tell latents from the prior's, and pictures from the data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import PositiveInt
from torch import Tensor
from torch.nn import functional as F

from vaelab.divergences.base import Adversary, Divergence, DivergenceConfig
from vaelab.divergences.latents import flat_latents, prior_latents
from vaelab.inference import Trace
from vaelab.nets import mlp
from vaelab.registry import DIVERGENCES, OPTIMISERS, ComponentConfig, default
from vaelab.types import BuildContext, StepContext, numel


class _AdversaryConfig(DivergenceConfig):
    """Arguments that both adversaries have."""

    hidden: tuple[PositiveInt, ...] = (512, 256)
    """Widths of the discriminator."""

    optimiser: Annotated[ComponentConfig, OPTIMISERS] = default({"kind": "adam", "lr": 2e-4, "beta1": 0.5})
    """The discriminator's optimiser."""


class AdversarialLatentConfig(_AdversaryConfig):
    """Arguments of the adversary on the latents."""

    kind: Literal["adversarial_latent"] = "adversarial_latent"

    loss: Literal["non_saturating", "density_ratio"] = "non_saturating"
    """What the model minimises: $-\\log D(z)$, or the estimate of $\\mathrm{KL}(q(z) \\,\\|\\, p(z))$ that D gives."""

    @classmethod
    def example(cls) -> AdversarialLatentConfig:
        return cls(hidden=(16,))


class _LatentDiscriminator(Adversary):
    def loss(self, trace: Trace, context: StepContext) -> Tensor:
        ours = self(flat_latents(trace).detach()).squeeze(1)
        priors = self(prior_latents(trace)).squeeze(1)
        return F.softplus(-priors) + F.softplus(ours)


@DIVERGENCES.register(AdversarialLatentConfig)
class AdversarialLatent(Divergence[AdversarialLatentConfig]):
    r"""The aggregate posterior pushed onto the prior by a discriminator (adversarial autoencoder).

    D tells draws of $p(z)$ from draws of $q(z)$; the model minimises $-\log D(z)$ (Makhzani et al. 2016) or
    $\log\frac{1 - D(z)}{D(z)}$, which at the optimum of D is $\log q(z) - \log p(z)$ (Mescheder et al. 2017). In place of
    the term `kl`.

    *Cost*: a small discriminator of latents and its own update.

    Use it for priors or posteriors without a density, as it needs draws alone; the discriminator has to keep up, and an
    `mmd` is easier to train in few dimensions.
    """

    def __init__(self, config: AdversarialLatentConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        size = sum(numel(group.shape) for group in context.latent.groups)
        self.adversary = _LatentDiscriminator(
            mlp((size, *config.hidden, 1), "leaky_relu", last=False), config.optimiser
        )

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        assert self.adversary is not None
        logit = self.adversary(flat_latents(trace)).squeeze(1)
        return F.softplus(-logit) if self.config.loss == "non_saturating" else -logit


class AdversarialDataConfig(_AdversaryConfig):
    """Arguments of the adversary on the data."""

    kind: Literal["adversarial_data"] = "adversarial_data"

    @classmethod
    def example(cls) -> AdversarialDataConfig:
        return cls(hidden=(16,))


class _DataDiscriminator(Adversary):
    def loss(self, trace: Trace, context: StepContext) -> Tensor:
        real = self(trace.x.flatten(1)).squeeze(1)
        made = self(trace.likelihood.mean[0].flatten(1).detach()).squeeze(1)
        return F.softplus(-real) + F.softplus(made)


@DIVERGENCES.register(AdversarialDataConfig)
class AdversarialData(Divergence[AdversarialDataConfig]):
    r"""Reconstructions judged by a discriminator, $-\log D(\mathbb{E}[x \mid z])$.

    The adversarial term of the VAE-GAN (Larsen et al. 2016). It departs from the paper in that the reconstruction error
    stays that of the likelihood and is not taken in the discriminator's features, in that the encoder receives the
    adversary's gradient too, and in that draws of the prior are not judged.

    *Cost*: passes of the discriminator over data and reconstructions, and an update of its own a step.

    Use it for sharper reconstructions, judged by eye; it trades likelihood for looks, brings the instability of a GAN,
    and leaves samples from the prior as they are.
    """

    def __init__(self, config: AdversarialDataConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        sizes = (numel(context.data.shape), *config.hidden, 1)
        self.adversary = _DataDiscriminator(mlp(sizes, "leaky_relu", last=False), config.optimiser)

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        assert self.adversary is not None
        return F.softplus(-self.adversary(trace.likelihood.mean[0].flatten(1)).squeeze(1))
