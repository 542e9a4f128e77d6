"""The small digits of scikit-learn."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from vaelab.datasets.base import Dataset, DatasetConfig
from vaelab.datasets.memory import MemoryPart
from vaelab.datasets.partition import MAX_SEED, partition
from vaelab.registry import DATASETS
from vaelab.types import DataSpec, DataSplits


class DigitsConfig(DatasetConfig):
    """Arguments of the small digits."""

    kind: Literal["digits"] = "digits"

    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the digits held out for the test."""

    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of the permutation that decides which digits are held out."""


@DATASETS.register(DigitsConfig)
class Digits(Dataset[DigitsConfig]):
    """Small handwritten digits, 8 x 8 pixels with 17 grey levels, 1,797 in all, 10 classes; needs no network.

    Source: Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI (1998), as scikit-learn
    ships it. Licence: CC BY 4.0. There is no official split; a seeded permutation makes one. Grey levels 0 to
    16 are divided by 16.

    *Cost*: 0.1 MB in memory, no download.
    """

    @property
    def spec(self) -> DataSpec:
        """One channel of 8 x 8 pixels, ten classes."""
        return self._describe((1, 8, 8), num_classes=10)

    def load(self) -> DataSplits:
        """Read the digits from scikit-learn."""
        from sklearn.datasets import load_digits

        shipped = load_digits()
        images = shipped.images.astype(np.uint8)
        labels = shipped.target.astype(np.int64)
        part = MemoryPart(torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels), divisor=16.0)
        # of the numbers and not of the file, which scikit-learn may repack
        provenance = {
            "source": "scikit-learn digits",
            "files": {"digits": hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()},
        }
        config = self.config
        return partition(config, self.spec, part, None, provenance, config.split_seed, config.test_fraction)
