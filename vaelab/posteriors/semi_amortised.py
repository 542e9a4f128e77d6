"""Semi-amortised posterior."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from vaelab.distributions import DiagonalNormal, Distribution
from vaelab.errors import BuildError
from vaelab.inference import log_joint
from vaelab.posteriors.base import Posterior, PosteriorConfig
from vaelab.registry import POSTERIORS
from vaelab.types import BuildContext, State


class SemiAmortisedConfig(PosteriorConfig):
    """Arguments of the semi-amortised posterior."""

    kind: Literal["semi_amortised"] = "semi_amortised"

    steps: PositiveInt = 3
    """Gradient steps from what the encoder proposes; each costs passes of the decoder and their gradient."""

    rate: PositiveFloat = 0.05
    """What the gradient is multiplied by."""

    clip: PositiveFloat = 5.0
    """Largest norm of a datum's gradient."""

    pairs: PositiveInt = 1
    """The bound is averaged over so many noise vectors and their negatives."""

    second_order: bool = True
    """Whether training differentiates through the steps, as the paper does, or takes their direction as given."""

    @classmethod
    def example(cls) -> SemiAmortisedConfig:
        return cls(steps=2)


@POSTERIORS.register(SemiAmortisedConfig)
class SemiAmortisedPosterior(Posterior[SemiAmortisedConfig]):
    r"""A diagonal normal whose parameters take a few gradient steps on the ELBO of their own datum.

    $$\lambda_{t+1} = \lambda_t + \alpha \nabla_\lambda \mathbb{E}_{q(z;\lambda)}[\log p(x, z) - \log q(z; \lambda)],
    \qquad \lambda_0 = \operatorname{enc}(x)$$

    Kim et al. (2018, algorithm 1), with $\lambda = (\mu, \log\sigma)$. The expectation is taken over noise vectors that are
    drawn once, when the model is built, and not anew: so the posterior is a function of x, and its density is what the
    rate and importance weights take it to be. For one latent group.

    *Cost*: a pass and a gradient of the decoder a refinement step, in evaluation as well.

    Use it where the encoder lags behind the decoder, as with strong decoders that drive it into collapse; each
    refinement step costs a pass through the decoder and its gradient.
    """

    multiplicity = 2

    def __init__(self, config: SemiAmortisedConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        if len(self.specs) != 1:
            raise BuildError(
                f"{context.names['posterior']} needs the joint density of all latents at once, and "
                f"{context.names['prior']} has {len(self.specs)} groups. Use a prior with one."
            )
        self.context = context
        noise = torch.randn(config.pairs, 1, *self.specs[0].shape)
        self.noise: Tensor
        self.register_buffer("noise", torch.cat([noise, -noise]))

    def group(self, i: int, features: tuple[Tensor, ...], state: State, p: Distribution | None) -> Distribution:
        if p is None:
            raise BuildError(
                f"{self.context.names['posterior']} depends on the prior, and {self.context.names['prior']} is made of "
                "posteriors. Replace one of the two."
            )
        loc, log_variance = self.heads[0](features[0], state.hidden).chunk(2, dim=2)
        log_scale = 0.5 * log_variance
        for _ in range(self.config.steps):
            loc, log_scale = self._step(loc, log_scale, state)
        q = DiagonalNormal.from_log_scale(loc, log_scale, len(self.specs[0].shape))
        return q.expand(state.batch_shape)

    def _step(self, loc: Tensor, log_scale: Tensor, state: State) -> tuple[Tensor, Tensor]:
        model = self.context.model
        wanted = torch.is_grad_enabled() and self.config.second_order
        with torch.enable_grad():
            at = [
                part if part.requires_grad and wanted else part.detach().requires_grad_() for part in (loc, log_scale)
            ]
            z = torch.addcmul(at[0], at[1].exp(), self.noise)
            start = model.prior.initial((z.shape[0], z.shape[1]), state.condition, state.data)
            bound = log_joint(model, start, z).mean(0).sum() + at[1].sum()
            slopes = torch.autograd.grad(bound, at, create_graph=wanted)
        norm = torch.stack([slope.flatten(2).square().sum(-1) for slope in slopes]).sum(0).clamp_min(1e-12).sqrt()
        factor = self.config.rate * (self.config.clip / norm).clamp_max(1.0)
        factor = factor.reshape(*factor.shape, *(1 for _ in self.specs[0].shape))
        return loc + factor * slopes[0], log_scale + factor * slopes[1]
