"""Penalties of regularised autoencoders."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vaelab.divergences.base import Divergence, DivergenceConfig
from vaelab.divergences.latents import flat_latents
from vaelab.errors import BuildError
from vaelab.inference import Trace
from vaelab.model import VAE
from vaelab.registry import DIVERGENCES
from vaelab.types import BuildContext, StepContext


class LatentL2Config(DivergenceConfig):
    """Arguments of the penalty on latents: its weight."""

    kind: Literal["latent_l2"] = "latent_l2"


@DIVERGENCES.register(LatentL2Config)
class LatentL2(Divergence[LatentL2Config]):
    r"""$\frac12\lVert z\rVert^2$, the first penalty of the regularised autoencoder (Ghosh et al. 2020, equation 10).

    *Cost*: none.

    Use it with the posterior `dirac` to keep latents bounded; it does not match them to the prior, so sample with a
    fitted density such as the sampler `gmm`.
    """

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        return 0.5 * flat_latents(trace).square().sum(1)


class DecoderGradientConfig(DivergenceConfig):
    """Arguments of the penalty on the decoder's gradient: its weight."""

    kind: Literal["decoder_gradient"] = "decoder_gradient"


@DIVERGENCES.register(DecoderGradientConfig)
class DecoderGradient(Divergence[DecoderGradientConfig]):
    r"""$\lVert \partial\, \mathbb{E}[x \mid z] / \partial z\rVert_F^2$, a smooth decoder (Ghosh et al. 2020, equation 12).

    The Frobenius norm is estimated without bias by one random direction v, $\lVert J^\top v\rVert^2$ with
    $v \sim \mathcal{N}(0, I)$ (Hutchinson 1990). Gradients with respect to the first latent group.

    *Cost*: a gradient of the gradient, about another pass of the decoder both ways.

    Use it with a deterministic posterior, for a decoder smooth enough to sample from; it differentiates twice through
    the decoder, about doubling a step's cost.
    """

    def __init__(self, config: DecoderGradientConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.context = context

    def check(self, model: VAE, trace: Trace) -> None:
        try:
            self._of_constants(trace)
        except RuntimeError as error:  # what autograd says of a mean that depends on no latent
            raise BuildError(
                f"divergence '{self.name}' needs the gradient of E[x | z], and decoder '{model.decoder.config.kind}' with likelihood "
                f"'{model.likelihood.config.kind}' offers no mean that has one. Use another decoder, or another penalty."
            ) from error

    def forward(self, trace: Trace, context: StepContext) -> Tensor:
        z, mean = trace.groups[0].z, trace.likelihood.mean
        if not (mean.requires_grad and z.requires_grad):
            return self._of_constants(trace)
        return self._norm(z, mean)

    def _of_constants(self, trace: Trace) -> Tensor:
        """The value where the pass was made without gradients: the decoder runs again."""
        model = self.context.model
        with torch.enable_grad():
            z = trace.groups[0].z.detach().requires_grad_()
            state = model.prior.initial((z.shape[0], z.shape[1]), trace.batch.condition, trace.batch)
            for i, latent in enumerate([z, *(group.z for group in trace.groups[1:])]):
                state = model.prior.advance(i, state, latent)
            mean = model.decoder.distribution(model.prior.readout(state), model.likelihood).mean
            return self._norm(z, mean).detach()

    @staticmethod
    def _norm(z: Tensor, mean: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(mean, z, torch.randn_like(mean), create_graph=True)
        return gradient[0].flatten(1).square().sum(1)
