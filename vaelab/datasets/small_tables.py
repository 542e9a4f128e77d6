"""Small tables that scikit-learn ships."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field

from vaelab.datasets.base import Dataset, DatasetConfig
from vaelab.datasets.memory import MemoryPart
from vaelab.datasets.partition import MAX_SEED, partition
from vaelab.registry import DATASETS
from vaelab.types import DataSpec, DataSplits

if TYPE_CHECKING:
    from collections.abc import Callable

Table = Literal["iris", "wine", "breast_cancer", "diabetes"]


class _Shape(NamedTuple):
    columns: int
    classes: int | None


#: Known beforehand, so that a model can be built before scikit-learn is imported.
_SHAPES: dict[Table, _Shape] = {
    "iris": _Shape(4, 3),
    "wine": _Shape(13, 3),
    "breast_cancer": _Shape(30, 2),
    "diabetes": _Shape(10, None),
}


class SmallTablesConfig(DatasetConfig):
    """Arguments of the small tables."""

    kind: Literal["small_tables"] = "small_tables"

    table: Table = "breast_cancer"
    """Which table."""

    with_label: bool = False
    """Whether the label stands behind the other columns, as one more column that holds 0, 1, ..., classes - 1."""

    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of the rows held out for the test."""

    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of the permutation that decides which rows are held out."""


@DATASETS.register(SmallTablesConfig)
class SmallTables(Dataset[SmallTablesConfig]):
    """Tables of real numbers that need no network: iris, wine, breast cancer (Wisconsin) and diabetes.

    Fisher (1936), Aeberhard et al. (1992), Wolberg et al. (1995) and Efron et al. (2004). Each column is $(x - m) /
    s$.

    From the UCI repository as scikit-learn ships them, 150, 178, 569 and 442 rows. Each column has mean 0 and standard deviation 1
    over the whole table. There is no official split; a seeded permutation makes one. Values can be compared with
    published ones only where these standardised as well.

    *Cost*: none; at most 569 rows.

    Use it to try tabular models and missing values; the tables are too small to rank models by.
    """

    @property
    def spec(self) -> DataSpec:
        """A vector of real numbers, one a column."""
        columns, classes = _SHAPES[self.config.table]
        return self._describe((columns + self._label_columns,), "real", classes)

    def load(self) -> DataSplits:
        """Read the table from scikit-learn."""
        from sklearn import datasets

        loaders: dict[Table, Callable[[], Any]] = {
            "iris": datasets.load_iris,
            "wine": datasets.load_wine,
            "breast_cancer": datasets.load_breast_cancer,
            "diabetes": datasets.load_diabetes,
        }
        shipped = loaders[self.config.table]()
        raw = np.asarray(shipped.data, np.float64)
        x = (raw - raw.mean(0)) / raw.std(0)
        y = None
        if _SHAPES[self.config.table].classes is not None:
            y = np.asarray(shipped.target, np.int64)
        if self._label_columns:
            assert y is not None
            x = np.concatenate([x, y[:, None]], 1)
        labels = None if y is None else torch.from_numpy(y)
        part = MemoryPart(torch.from_numpy(x.astype(np.float32)), labels, divisor=1.0)
        provenance = {
            "source": f"scikit-learn {self.config.table}",
            "files": {self.config.table: hashlib.sha256(raw.tobytes()).hexdigest()},
        }
        config = self.config
        return partition(config, self.spec, part, None, provenance, config.split_seed, config.test_fraction)

    @property
    def _label_columns(self) -> int:
        return int(self.config.with_label and _SHAPES[self.config.table].classes is not None)
