"""The pixels themselves."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vaelab.extractors.base import Extracted, Extractor
from vaelab.registry import EXTRACTORS, ComponentConfig


class PixelsConfig(ComponentConfig):
    """Arguments of the pixels: none."""

    kind: Literal["pixels"] = "pixels"


@EXTRACTORS.register(PixelsConfig)
class PixelsExtractor(Extractor[PixelsConfig]):
    r"""The pixels of a picture as a vector; distances are Euclidean, $\lVert x - x' \rVert_2$.

    Distances of pixels are the oldest test for copies (Theis et al. 2016 show what they miss).

    *Cost*: none.

    Use it to look for copies of training data, or where no network fits the pictures; a shift by one pixel counts as much
    as another picture.
    """

    def forward(self, pictures: Tensor) -> Extracted:
        return Extracted(pictures.flatten(1))
