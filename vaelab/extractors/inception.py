"""Features of the Inception network."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn import functional as F

from vaelab.datasets import Remote, cached_file
from vaelab.errors import DataError
from vaelab.extractors.base import Extracted, Extractor, require_unit_pictures
from vaelab.files import sha256
from vaelab.registry import EXTRACTORS, ComponentConfig
from vaelab.types import DataSpec

#: The weights of 2015-12-05, as pytorch-fid ported them from TensorFlow; the name ends with the beginning of the SHA-256.
WEIGHTS = Remote(
    "pt_inception-2015-12-05-6726825d.pth",
    None,
    (
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    ),
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)


class InceptionConfig(ComponentConfig):
    """Arguments of Inception."""

    kind: Literal["inception"] = "inception"

    batch_size: PositiveInt = 50
    """Pictures a pass; it changes nothing but the memory."""


@EXTRACTORS.register(InceptionConfig)
class InceptionExtractor(Extractor[InceptionConfig]):
    """The pooled features, 2048 numbers, of the Inception network of 2015-12-05 that FID is defined by (Heusel et al. 2017).

    It is not torchvision's Inception: pooling branches and weights differ. The weights, 92 MB, are looked for below
    `$VAELAB_DATA/extractors` and the cache, and else downloaded into the latter; their checksum is verified in each
    case. Pictures are resized to 299 x 299 (bilinear, without antialiasing, like pytorch-fid) and
    scaled from [0, 1] to [-1, 1]; grey is repeated in all three channels. They are not rounded to 8 bits before.

    *Cost*: about 6 billion multiplications a picture, a fifth of a second on one CPU core, and 92 MB for the weights.

    Use it for colour photographs and for numbers that compare with papers'; its features say little of digits, and on one
    CPU core it takes a fifth of a second a picture.
    """

    labels = 1008

    def __init__(self, config: InceptionConfig) -> None:
        super().__init__(config)
        # torchvision's models take a second to import, which a look at the registry should not cost
        from vaelab.nets.inception import InceptionFeatures

        path = cached_file("the weights of extractor 'inception'", WEIGHTS, "extractors")
        self.checksum = sha256(path)
        if not self.checksum.startswith(WEIGHTS.sha256):
            raise DataError(
                f"{path} is not what extractor 'inception' needs: its SHA-256 begins with {self.checksum[:8]}, not "
                f"{WEIGHTS.sha256}. Delete it, so that it is downloaded again."
            )
        self.network = InceptionFeatures(path)

    def check(self, data: DataSpec) -> None:
        super().check(data)
        require_unit_pictures(self.config.kind, data)
        if data.shape[0] not in (1, 3):
            raise DataError(
                f"extractor 'inception' looks at grey or coloured pictures, and the data have {data.shape[0]} channels. Use the "
                "extractor 'pixels'."
            )

    def forward(self, pictures: Tensor) -> Extracted:
        features, logits = zip(*map(self._part, pictures.split(self.config.batch_size)), strict=True)
        return Extracted(torch.cat(features), torch.cat(logits))

    def _part(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        resized = F.interpolate(pictures.clamp(0, 1), (299, 299), mode="bilinear", align_corners=False)
        found: tuple[Tensor, Tensor] = self.network(2 * resized.expand(-1, 3, -1, -1) - 1)
        return found
