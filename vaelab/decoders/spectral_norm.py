"""Decoder whose layers have spectral norm one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from vaelab.decoders.base import Decoder
from vaelab.distributions import Distribution
from vaelab.likelihoods import Likelihood
from vaelab.registry import DECODERS, ComponentConfig, default
from vaelab.types import BuildContext


class SpectralNormConfig(ComponentConfig):
    """Arguments of the spectrally normalised decoder."""

    kind: Literal["spectral_norm"] = "spectral_norm"

    decoder: Annotated[ComponentConfig, DECODERS] = default("mlp")
    """The decoder whose layers are normalised."""

    last_layer: bool = False
    """Whether the last layer is normalised too, which bounds how large parameters such as logits can become."""

    @classmethod
    def example(cls) -> SpectralNormConfig:
        return cls.model_validate({"decoder": {"kind": "mlp", "hidden": [16]}})


@DECODERS.register(SpectralNormConfig)
class SpectralNormDecoder(Decoder[SpectralNormConfig]):
    r"""Any decoder with each linear map and convolution divided by its largest singular value, $W / \sigma(W)$.

    Miyato et al. (2018, section 2.1), one step of the power iteration a pass in training; a convolution's norm is that of its kernel
    as a matrix. Such a decoder has a bounded Lipschitz constant, which is the regulariser of the deterministic
    autoencoder RAE-SN (Ghosh et al. 2020, section 3). The last layer of the inner decoder is left alone by default, since with it
    the outputs could hardly leave the neighbourhood of 0.

    *Cost*: that of the decoder inside and one power iteration a layer in training.

    Use it to keep a deterministic autoencoder's decoder smooth, so that a density fitted to its latents gives usable
    samples; it limits sharpness, and a VAE's noise already smooths.
    """

    def __init__(self, config: SpectralNormConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        self.decoder: Decoder[Any] = DECODERS.build(config.decoder, context)
        self.stepwise = self.decoder.stepwise
        kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)
        layers = [module for module in self.decoder.modules() if isinstance(module, kinds)]
        for module in layers if config.last_layer else layers[:-1]:
            spectral_norm(module)

    def forward(self, code: Tensor) -> Tensor:
        parameters: Tensor = self.decoder(code)
        return parameters

    def distribution(self, code: Tensor, likelihood: Likelihood[Any]) -> Distribution:
        return self.decoder.distribution(code, likelihood)
