"""Small data in memory that no file holds."""

from __future__ import annotations

import numpy as np
import torch

from vaelab.datasets.memory import MemorySplit
from vaelab.types import DataSpec, DataSplits, Shape, Values


def make_splits(
    shape: Shape = (1, 8, 8), values: Values = "binary", number: int = 48, classes: int | None = 3
) -> DataSplits:
    """Three splits of made-up data that lie in memory; no two are the same."""
    generator = torch.Generator().manual_seed(1)
    spec = DataSpec(shape, values, classes)

    def split(count: int) -> MemorySplit:
        x = torch.rand(count, int(np.prod(shape)), generator=generator)
        if values == "binary":
            x = x.round()
        y = None if classes is None else torch.randint(classes, (count,), generator=generator)
        return MemorySplit(spec, x, y)

    return DataSplits(split(number), split(number // 2), split(number // 2), {"source": "made up"})
