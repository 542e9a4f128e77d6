"""Autoregressive density of the codes of a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, PositiveInt
from torch import Tensor

from vaelab.errors import BuildError
from vaelab.inference import Group
from vaelab.model import VAE
from vaelab.nets.code_gru import CodeGRU
from vaelab.nets.code_pixelcnn import CodePixelCNN
from vaelab.registry import SAMPLERS
from vaelab.samplers.fitted import FittedSampler
from vaelab.samplers.maximum_likelihood import TrainedConfig, maximise_likelihood


class CodesConfig(TrainedConfig):
    """Arguments of the density of codes."""

    kind: Literal["codes"] = "codes"

    network: Literal["gru", "pixelcnn"] = "gru"
    """Gated recurrent units over rows or maps of codes, or masked convolutions over maps."""

    hidden: PositiveInt = 128
    """Width of the network."""

    layers: PositiveInt = 1
    """GRU: its depth."""

    blocks: int = Field(6, ge=0)
    """PixelCNN: masked residual blocks, each of which looks one position further."""

    @classmethod
    def example(cls) -> CodesConfig:
        return cls.model_validate({"hidden": 6, "epochs": 2, "limit": 100})


@SAMPLERS.register(CodesConfig)
class CodesSampler(FittedSampler[CodesConfig]):
    r"""$p(k) = \prod_n p(k_n \mid k_{<n})$ fitted to the codes that a trained model gives to the training data.

    The second stage of a VQ-VAE (van den Oord et al. 2017, section 3.3, with a PixelCNN); of `vq`, `residual_vq` and `fsq`
    alike. The prior `autoregressive_codes` is trained along with the model in place of this. The temperature divides the
    logits of each position.

    *Cost*: one more training; a draw takes one step a position.

    Use it for every model of codes whose prior is `uniform_codes`; it is one more model to train, and a sample takes
    one step a position.
    """

    def check(self, model: VAE) -> None:
        groups = model.prior.latent.groups
        if len(groups) != 1 or groups[0].support != "codes" or groups[0].codes is None:
            what = (
                f"{len(groups)} latent groups" if len(groups) > 1 else f"latents of the support '{groups[0].support}'"
            )
            raise BuildError(
                f"sampler 'codes' fits the density of one group of codes, and this model has {what}. Use the sampler "
                f"'{'gmm' if groups[0].support == 'real' else 'prior'}'."
            )
        self.number = groups[0].codes
        self.positions = groups[0].shape[1:]
        if self.config.network == "pixelcnn" and len(self.positions) != 2:
            raise BuildError(
                f"sampler 'codes': a PixelCNN works on maps of codes, and these stand in a row of {self.positions[0]}. Set "
                '"network": "gru".'
            )

    def encoded(self, groups: Sequence[Group]) -> Tensor:
        """Indices `[B, N]`."""
        q: Any = groups[0].q  # one over codes, or the prior would have refused it
        index: Tensor = q.index[0]
        return index.flatten(1)

    def density(self, z: Tensor, held_out: Tensor) -> CodeGRU | CodePixelCNN:
        config = self.config
        network: CodeGRU | CodePixelCNN
        if config.network == "gru":
            network = CodeGRU(self.number, self.positions, config.hidden, config.layers)
        else:
            height, width = self.positions
            network = CodePixelCNN(self.number, (height, width), config.hidden, config.blocks)
        network.to(z.device)
        maximise_likelihood(network, network.log_prob, z, config)
        return network

    def fixed(self, z: Tensor) -> Mapping[int, Tensor]:
        posterior: Any = self.model.posterior
        vectors: Tensor = posterior.lookup(0, z.reshape(-1, *self.positions))
        return {0: vectors}
