"""Autoregressive decoder."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt
from torch import Tensor

from vaelab.decoders.base import Decoder
from vaelab.distributions import AutoregressivePixels, Distribution
from vaelab.errors import BuildError
from vaelab.likelihoods import Likelihood
from vaelab.nets import Activation
from vaelab.nets.masked import MaskedStack
from vaelab.registry import DECODERS, ComponentConfig, default
from vaelab.types import BuildContext, require_image


class PixelCNNConfig(ComponentConfig):
    """Arguments of the autoregressive decoder."""

    kind: Literal["pixelcnn"] = "pixelcnn"

    trunk: Annotated[ComponentConfig, DECODERS] = default("conv")
    """Decoder from the code to maps of features at the data's resolution."""

    features: PositiveInt = 16
    """Channels of these maps."""

    width: PositiveInt = 32
    """Channels of the masked convolutions."""

    kernel: int = Field(5, ge=3)
    """Of the first masked convolution; odd."""

    blocks: int = Field(3, ge=0)
    """Masked residual blocks, each of which looks one pixel further. The smaller the reach, the more z must tell."""

    activation: Activation = "relu"
    """Inside the masked layers."""

    @classmethod
    def example(cls) -> PixelCNNConfig:
        return cls.model_validate(
            {"trunk": {"kind": "mlp", "hidden": [8]}, "features": 2, "width": 6, "kernel": 3, "blocks": 1}
        )


@DECODERS.register(PixelCNNConfig)
class PixelCNN(Decoder[PixelCNNConfig]):
    r"""$p(x \mid z) = \prod_i p(x_i \mid x_{<i}, z)$ by masked convolutions over x, given features of z (PixelVAE).

    Gulrajani et al. (2017). The likelihood says what p of one pixel is, its channels together: with channels that
    are independent given the pixels before, or with the channel regression of `discretised_logistic_mixture`. In the
    original the channels of a pixel are masked one after another. With plain masked convolutions a wedge of pixels to the
    upper right stays unseen (van den Oord et al. 2016b).

    Data are drawn pixel by pixel with `sample`. $\mathbb{E}[x \mid z]$ has no closed form, so `mean`, which
    reconstructions, figures and the metric `reconstruction` show, is another picture: each pixel's conditional mean given the
    most likely bits before it, or given the means before it where pixels are no bits. It is what a greedy draw would look
    like, smoother than a sample, and its squared error is not the least possible. Compare models by their
    likelihood.

    A pass of training costs about as much as one of a convolutional decoder; a draw costs one small pass a pixel.

    *Cost*: one pass of masked convolutions in training, and one a pixel for a draw.

    Use it for sharp samples and the best likelihoods of small images; it may explain the data without any latent (keep
    its reach small, or use free bits), and a sample takes one pass a pixel.
    """

    def __init__(self, config: PixelCNNConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        require_image("decoder", config.kind, context.data)
        self.names = context.names
        self.channels, *size = context.data.shape
        self.bits = context.data.values == "binary"
        out = context.parameter_shape
        if config.kernel % 2 == 0:
            raise BuildError(f"decoder 'pixelcnn' needs an odd kernel, not {config.kernel}.")
        self.trunk: Decoder[Any] = DECODERS.build(
            config.trunk, replace(context, parameter_shape=(config.features, *size))
        )
        if type(self.trunk).distribution is not Decoder.distribution:
            raise BuildError(
                f"decoder 'pixelcnn' takes features from its trunk, and decoder '{config.trunk.kind}' makes a "
                "distribution of its own. Use a trunk such as 'conv'."
            )
        self.net = MaskedStack(
            self.channels, config.features, out[0], config.width, config.kernel, config.blocks, config.activation
        )

    def forward(self, code: Tensor) -> Tensor:
        """The features `[K, B, F, H, W]` of z."""
        return self.trunk(code)

    def distribution(self, code: Tensor, likelihood: Likelihood[Any]) -> Distribution:
        if not likelihood.local:
            raise BuildError(
                f"{self.names['decoder']} gives each pixel a distribution of its own, and {self.names['likelihood']} "
                "scores whole pictures. Replace one of the two."
            )
        return AutoregressivePixels(self(code), self.channels, self.net, self.net.reach, likelihood, bits=self.bits)
