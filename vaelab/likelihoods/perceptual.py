"""Distance between features of a frozen network in the place of a likelihood."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor

from vaelab.distributions import PictureScore
from vaelab.errors import BuildError
from vaelab.likelihoods.base import Likelihood, require_unit_interval
from vaelab.nets.frozen import random_network, torchvision_network
from vaelab.registry import LIKELIHOODS, ComponentConfig
from vaelab.section import PathText
from vaelab.types import BuildContext, numel

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PerceptualConfig(ComponentConfig):
    """Arguments of the perceptual score."""

    kind: Literal["perceptual"] = "perceptual"

    network: Literal["random", "vgg11", "vgg16", "vgg19"] = "random"
    """Whose features are compared: three random convolutions, or one of torchvision's, which needs `weights`."""

    weights: PathText | None = None
    """.safetensors file with the state dictionary of torchvision's network; nothing is downloaded, and no pickle is read."""

    layers: tuple[NonNegativeInt, ...] = Field((1, 6, 11), min_length=1)
    """Layers of torchvision's `features` that are compared; 1, 6 and 11 are relu1_1, relu2_1 and relu3_1 of vgg19."""

    seed: NonNegativeInt = 0
    """Of the random network, apart from the experiment's seed."""

    weight: PositiveFloat = 1.0
    """What the distance is multiplied by, beside the nats of the rate."""


@LIKELIHOODS.register(PerceptualConfig)
class PerceptualLikelihood(Likelihood[PerceptualConfig]):
    r"""A score and no density: $-wD\sum_l \frac1{2D_l}\lVert\phi_l(x) - \phi_l(\hat x(z))\rVert^2$, D numbers a datum.

    The deep feature consistent VAE (Hou et al. 2017), with features $\phi_l$ of VGG19 there. Without
    its weights a random network is used, whose distances are between pixels and textures and stand for no
    perception. It is not the logarithm of a density in x, so that a negative ELBO or an importance-weighted NLL made of
    it compares with nothing but itself. The pictures are a sigmoid of the decoder's output.

    *Cost*: two passes of a fixed network, of the datum and of its reconstruction, and a gradient through the
    latter.

    Use it for natural images with the weights of a trained network, when looks count for more than likelihood; with the
    random network it is a reconstruction error with texture, not perception.
    """

    local = False

    def __init__(self, config: PerceptualConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        require_unit_interval(config.kind, context)
        if len(context.data.shape) != 3:
            raise BuildError(
                f"likelihood 'perceptual' compares images (C, H, W), and the data have shape {context.data.shape}. Use "
                "the likelihood 'normal'."
            )
        channels = context.data.shape[0]
        self.mean: Tensor
        self.std: Tensor
        if config.network == "random":
            self.register_buffer("mean", torch.full((channels, 1, 1), 0.5), persistent=False)
            self.register_buffer("std", torch.full((channels, 1, 1), 0.5), persistent=False)
            self.features = random_network(channels, config.seed)
            return
        if config.weights is None:
            raise BuildError(
                f"likelihood 'perceptual' needs a file of weights for '{config.network}'. Give its path as \"weights\", or "
                'set "network" to "random".'
            )
        if channels not in (1, 3):
            raise BuildError(
                f"likelihood 'perceptual' shows grey or coloured pictures to '{config.network}', and the data have "
                f"{channels} channels. Use the network 'random'."
            )
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).reshape(3, 1, 1), persistent=False)
        self.features = torchvision_network(config.network, Path(config.weights), config.layers)

    def _score(self, x: Tensor, picture: Tensor) -> Tensor:
        # grey is broadcast to the three channels of the means
        one, two = (self.features((image - self.mean) / self.std) for image in (x, picture))
        distance = sum(
            (0.5 * (a - b).square().flatten(1).mean(1) for a, b in zip(one, two, strict=True)),
            start=x.new_zeros(len(x)),
        )
        return -self.config.weight * numel(self.data.shape) * distance

    def forward(self, parameters: Tensor) -> PictureScore:
        return PictureScore(parameters.sigmoid(), self._score)
