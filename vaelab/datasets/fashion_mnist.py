"""Fashion-MNIST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from vaelab.datasets.idx_images import IdxImages, IdxImagesConfig
from vaelab.registry import DATASETS

if TYPE_CHECKING:
    from torchvision.datasets import MNIST


class FashionMnistConfig(IdxImagesConfig):
    """Arguments of Fashion-MNIST."""

    kind: Literal["fashion_mnist"] = "fashion_mnist"


@DATASETS.register(FashionMnistConfig)
class FashionMnist(IdxImages[FashionMnistConfig]):
    """Fashion-MNIST: pictures of clothes, 28 x 28 grey pixels, 60,000 for training and 10,000 for the test,
    10 classes.

    Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms" (2017), arXiv:1708.07747. Licence: MIT. Validation takes the last training pictures.

    *Cost*: a download of 30 MB; 55 MB in memory.
    """

    folder = "FashionMNIST"
    mirrors = ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",)

    @staticmethod
    def published() -> type[MNIST]:
        """torchvision's FashionMNIST."""
        from torchvision.datasets import FashionMNIST

        return FashionMNIST
