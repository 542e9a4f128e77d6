"""Features of a small classifier of digits."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from vaelab.errors import DataError
from vaelab.extractors.base import Extracted, Extractor, require_unit_pictures
from vaelab.extractors.digits_network import LABELS, SIDE, read
from vaelab.registry import EXTRACTORS, ComponentConfig
from vaelab.types import DataSpec


class DigitsConfig(ComponentConfig):
    """Arguments of the digits network: none."""

    kind: Literal["digits"] = "digits"


@EXTRACTORS.register(DigitsConfig)
class DigitsExtractor(Extractor[DigitsConfig]):
    r"""The last hidden layer, 64 numbers, of a small classifier of MNIST's digits that comes with vaelab.

    $\phi(x)$ is what the last ReLU of the network receives, before its ten logits; the convolutions are those of
    LeCun et al. (1998) in kind.

    Its weights are part of the package, so that values compare across machines. Half of the pictures that it was
    trained on were binarised, as models of digits often have bits for data. Its seed, the source of its data and its
    accuracy (99.26 % on MNIST's test digits, 98.81 % where they are binarised) stand in the file,
    `vaelab/extractors/digits.safetensors`; `python -m vaelab.extractors.digits_training` makes it. Over MNIST's training
    digits the variance of a feature is 1 on average. Grey pictures of another size than 28 x 28 are resized (bilinear,
    with antialiasing).

    *Cost*: 33,450 parameters; next to none.

    Use it for grey digits, where Inception's features of photographs say little; values are no FIDs of the literature,
    and on anything but digits they tell nothing.
    """

    labels = LABELS

    def __init__(self, config: DigitsConfig) -> None:
        super().__init__(config)
        trained = read()
        self.network, self.checksum = trained.network, trained.checksum

    def check(self, data: DataSpec) -> None:
        super().check(data)
        require_unit_pictures(self.config.kind, data)
        if data.shape[0] != 1:
            raise DataError(
                f"extractor 'digits' looks at grey digits, and the data have shape {data.shape}, with {data.shape[0]} channels. "
                "Use the extractor 'inception' or 'pixels'."
            )

    def forward(self, pictures: Tensor) -> Extracted:
        if pictures.shape[-2:] != (SIDE, SIDE):
            pictures = F.interpolate(pictures, (SIDE, SIDE), mode="bilinear", antialias=True)
        features, logits = self.network(pictures.clamp(0, 1))
        return Extracted(features, logits)
