"""Kuzushiji-MNIST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from vaelab.datasets.idx_images import IdxImages, IdxImagesConfig
from vaelab.registry import DATASETS

if TYPE_CHECKING:
    from torchvision.datasets import MNIST


class KmnistConfig(IdxImagesConfig):
    """Arguments of Kuzushiji-MNIST."""

    kind: Literal["kmnist"] = "kmnist"


@DATASETS.register(KmnistConfig)
class Kmnist(IdxImages[KmnistConfig]):
    """Kuzushiji-MNIST: cursive Japanese characters, 28 x 28 grey pixels, 60,000 and 10,000 for the test, 10
    classes.

    Source: Clanuwat et al., "Deep learning for classical Japanese literature" (2018), arXiv:1812.01718.
    Licence: CC BY-SA 4.0. Validation takes the last training characters.

    *Cost*: a download of 21 MB; 55 MB in memory.
    """

    folder = "KMNIST"
    mirrors = ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",)

    @staticmethod
    def published() -> type[MNIST]:
        """torchvision's KMNIST."""
        from torchvision.datasets import KMNIST

        return KMNIST
