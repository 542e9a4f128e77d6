"""The user's own tables."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from vaelab.datasets import arrow_files, table_files
from vaelab.datasets.base import Dataset, DatasetConfig
from vaelab.datasets.bounded import expanded
from vaelab.datasets.locate import checksums
from vaelab.datasets.memory import MemoryPart
from vaelab.datasets.partition import MAX_SEED, divide, partition
from vaelab.errors import BuildError, DataError
from vaelab.registry import DATASETS
from vaelab.types import DataSpec, DataSplits

#: Levels of a category, in the order of their numbers.
Levels = Annotated[tuple[str, ...], Field(min_length=2)]


class TableConfig(DatasetConfig):
    """Arguments of the user's own tables."""

    kind: Literal["table"] = "table"

    path: str
    """A .csv, .tsv, .parquet or .feather file whose first line, or schema, names the columns; or a folder that `save_to_disk`
    of the library `datasets` wrote."""

    columns: dict[str, Literal["real"] | Levels] | None = None
    """What the model sees, in this order: the name of a column, and "real" or the list of its levels. A level becomes its
    number 0, 1, .... Left out, all columns but the label are real."""

    label: str | None = None
    """Column of labels. No column of the model, unless `columns` names it too."""

    classes: Levels | None = None
    """Levels of the label, in the order of their numbers; left out, labels are whole numbers from 0."""

    missing: bool = False
    """Whether fields may be empty; else an empty field is refused."""

    standardise: bool = True
    """Bring each real column to mean 0 and standard deviation 1, those of the training data."""

    test_path: str | None = None
    """File with the test data; without it some of the rows are held out."""

    test_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the rows held out for the test where there is no `test_path`."""

    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of the permutation that decides which rows are held out."""

    @classmethod
    def example(cls) -> Self:
        """A table in a file that need not exist for a model to be built."""
        return cls.model_validate({"path": "data.csv", "columns": {"age": "real", "colour": ["blue", "red"]}})


@DATASETS.register(TableConfig)
class OwnTable(Dataset[TableConfig]):
    """The user's own table, from CSV, TSV, Parquet or Feather: a vector a row, with real and categorical columns.

    Real columns are standardised with the mean and the standard deviation of the training rows, which the manifest records
    under `data.standardised`; densities are those of the standardised columns. Categorical columns hold the numbers of their
    levels: name them in the encoder `tabular` and in the likelihood `mixed_columns`, as `[[column, levels], ...]`.
    `python -m vaelab inspect FILE` writes all of it. With `missing`, batches carry a mask, and the likelihood scores what was
    observed alone. Parquet, Feather and folders of `datasets` are read with pyarrow (the extra `arrow`).

    *Cost*: one reading of the file; four bytes a number in memory.
    """

    @property
    def spec(self) -> DataSpec:
        """A vector with one number a column."""
        config = self.config
        if config.binarisation != "none":
            raise BuildError('dataset \'table\' has no grey levels to binarise. Set "binarisation": "none".')
        classes = None if config.classes is None else len(config.classes)
        size = len(self._columns(table_files.header(self._path) if config.columns is None else ()))
        return replace(self._describe((size,), "real", classes), masked=config.missing)

    def load(self) -> DataSplits:
        """Read the table, number its levels and standardise it."""
        config = self.config
        paths = [self._path, *([expanded(config.test_path)] if config.test_path else ())]
        parts = [self._part(path) for path in paths]
        columns = self._columns(table_files.header(self._path) if config.columns is None else ())
        scales: dict[str, list[float]] = {}
        if config.standardise:
            rows = divide(config, len(parts[0].x), config.split_seed, config.test_fraction, len(parts) > 1).train
            for position, name in enumerate(columns):
                if columns[name] == "real":
                    scales[name] = _scale(name, parts[0].x[rows, position])
                    for part in parts:
                        part.x[:, position].sub_(scales[name][0]).div_(scales[name][1])
        parts = [replace(part, x=part.x.float()) for part in parts]
        provenance: dict[str, Any] = {
            "source": "table",
            "files": {str(path): _checksum(path) for path in paths},
            "columns": {name: "real" if levels == "real" else list(levels) for name, levels in columns.items()},
            "standardised": scales,
        }
        if config.classes is not None:
            provenance["classes"] = list(config.classes)
        test = parts[1] if len(parts) > 1 else None
        return partition(config, self.spec, parts[0], test, provenance, config.split_seed, config.test_fraction)

    @property
    def _path(self) -> Path:
        return expanded(self.config.path)

    def _columns(self, header: tuple[str, ...]) -> Mapping[str, Literal["real"] | tuple[str, ...]]:
        if self.config.columns is not None:
            if not self.config.columns:
                raise BuildError("dataset 'table': \"columns\" names no column. Name some, or leave the key out.")
            return self.config.columns
        return {name: "real" for name in header if name != self.config.label}

    def _part(self, path: Path) -> MemoryPart:
        table = table_files.read(path)
        columns = self._columns(table.names)
        for name in (*columns, *([self.config.label] if self.config.label else ())):
            if name not in table.names:
                near = difflib.get_close_matches(name, table.names, n=1)
                hint = f" Did you mean '{near[0]}'?" if near else ""
                raise DataError(f"{path} has no column '{name}'.{hint} It has: {', '.join(table.names)}.")
        if not len(table):
            raise DataError(f"{path} has no rows")
        x = torch.empty(len(table), len(columns), dtype=torch.float64)
        for position, (name, levels) in enumerate(columns.items()):
            where = f"{path}: column '{name}'"
            found = table.numbers(name) if levels == "real" else _numbered(table.texts(name), levels, where)
            if not self.config.missing and np.isnan(found).any():
                row = int(np.isnan(found).argmax()) + 1
                raise DataError(f'{where} is empty in row {row}. Set "missing": true if fields may be.')
            if np.isinf(found).any():
                raise DataError(f"{where} is infinite in row {int(np.isinf(found).argmax()) + 1}")
            x[:, position] = torch.from_numpy(found)
        return MemoryPart(x, self._labels(path, table), divisor=1.0)

    def _labels(self, path: Path, table: table_files.Table) -> Tensor | None:
        if self.config.label is None:
            return None
        where = f"{path}: label '{self.config.label}'"
        if self.config.classes is not None:
            found = _numbered(table.texts(self.config.label), self.config.classes, where)
        else:
            found = table.numbers(self.config.label)
        wrong = ~(np.isfinite(found) & (found >= 0) & (found == np.floor(found)))
        if wrong.any():
            raise DataError(
                f'{where} is no whole number from 0 in row {int(wrong.argmax()) + 1}. Name its levels as "classes".'
            )
        return torch.from_numpy(found.astype(np.int64))


def _numbered(texts: list[str], levels: tuple[str, ...], where: str) -> np.ndarray:
    """The number of each level, NaN where the text is missing.

    Raises:
        DataError: a text is no level.
    """
    numbers = {level: float(number) for number, level in enumerate(levels)}
    found = np.empty(len(texts))
    for row, text in enumerate(texts):
        if text in numbers:
            found[row] = numbers[text]
        elif text in table_files.MISSING:
            found[row] = math.nan
        else:
            raise DataError(
                f"{where} holds '{text[:40]}' in row {row + 1}, which is none of its levels: {', '.join(levels)}"
            )
    return found


def _scale(name: str, values: Tensor) -> list[float]:
    """Mean and standard deviation of the observed values.

    Raises:
        DataError: there is no spread.
    """
    seen = values[~values.isnan()]
    deviation = float(seen.std(correction=0)) if len(seen) else 0.0
    if not deviation > 0:
        raise DataError(
            f"dataset 'table': column '{name}' does not vary over the training rows, so that it cannot be standardised. Leave "
            'it out of "columns".'
        )
    return [float(seen.mean()), deviation]


def _checksum(path: Path) -> str | dict[str, str]:
    if path.is_dir():
        return checksums(path, arrow_files.files(path))
    return checksums(path.parent, [path])[path.name]
