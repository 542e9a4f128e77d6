"""Columns of tables: CSV, TSV, Parquet, Feather, and data sets that the library `datasets` saved."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from vaelab.datasets import arrow_files
from vaelab.errors import DataError

#: What stands for a number or a level that is missing.
MISSING = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "<NA>", "#N/A"})

TEXT_SUFFIXES = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*TEXT_SUFFIXES, *arrow_files.SUFFIXES)


class Table(Protocol):
    """A table that was read.

    Attributes:
        names: of its columns, in order.
    """

    names: tuple[str, ...]

    def __len__(self) -> int: ...

    def numbers(self, name: str) -> np.ndarray:
        """A column `[N]` as float64, NaN where a number is missing.

        Raises:
            DataError: something in it is no number.
        """
        ...

    def texts(self, name: str) -> list[str]:
        """A column as text, one of `MISSING` where it is missing."""
        ...


def header(path: Path) -> tuple[str, ...]:
    """Names of the columns of a table, without its rows.

    Raises:
        DataError: it cannot be read, or names a column twice or not at all.
    """
    if path.suffix in TEXT_SUFFIXES:
        with _text(path) as file:
            return _checked_names(path, next(_rows(path, file), []))
    return _checked_names(path, arrow_files.names(path))


def read(path: Path) -> Table:
    """A whole table.

    Raises:
        DataError: as `header`; or a row has another number of fields than the header.
    """
    if path.suffix in TEXT_SUFFIXES:
        return _TextTable(path)
    return _ArrowTable(path)


def _text(path: Path) -> IO[str]:
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _rows(path: Path, file: IO[str]) -> Iterator[list[str]]:
    reader = csv.reader(file, delimiter=TEXT_SUFFIXES[path.suffix], strict=True)
    try:
        yield from reader
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}, line {reader.line_num + 1}: not a table in UTF-8 ({error})") from error


def _checked_names(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    names = [name.strip() for name in names]
    if not names:
        raise DataError(f"{path} is empty; the first line of a table names its columns")
    for position, name in enumerate(names):
        if not name:
            raise DataError(
                f"{path}: column {position + 1} has no name. If it is the index that pandas wrote, write the table with "
                "index=False."
            )
        if names.index(name) < position:
            raise DataError(f"{path}: two columns are named '{name}'. Rename one of them.")
    return tuple(names)


class _TextTable:
    def __init__(self, path: Path) -> None:
        self.path = path
        with _text(path) as file:
            rows = _rows(path, file)
            self.names = _checked_names(path, next(rows, []))
            self._rows: list[list[str]] = []
            for number, row in enumerate(rows, 2):
                if not row:
                    continue  # a blank line
                if len(row) != len(self.names):
                    raise DataError(
                        f"{path}: row {number} has {len(row)} fields and the header {len(self.names)}. Fields that hold "
                        "separators need quotes."
                    )
                self._rows.append(row)

    def __len__(self) -> int:
        return len(self._rows)

    def texts(self, name: str) -> list[str]:
        position = self.names.index(name)
        return [row[position].strip() for row in self._rows]

    def numbers(self, name: str) -> np.ndarray:
        return _as_numbers(self.path, name, self.texts(name))


class _ArrowTable:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._table = arrow_files.read(path)
        self.names = _checked_names(path, arrow_files.names(path))

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def texts(self, name: str) -> list[str]:
        return ["" if value is None else str(value).strip() for value in self._column(name).to_pylist()]

    def numbers(self, name: str) -> np.ndarray:
        found = arrow_files.numbers(self._column(name))
        return _as_numbers(self.path, name, self.texts(name)) if found is None else found

    def _column(self, name: str) -> Any:
        return self._table.column(self.names.index(name))


def _as_numbers(path: Path, name: str, texts: list[str]) -> np.ndarray:
    plain = ["nan" if text in MISSING else text for text in texts]
    try:
        return np.array(plain, dtype=np.float64)
    except ValueError:
        pass
    for row, text in enumerate(plain, 1):
        try:
            float(text)
        except ValueError as error:
            raise DataError(
                f"{path}: column '{name}' holds '{text[:40]}' in row {row}, which is no number. Leave the column out, or give "
                f"its levels: `python -m vaelab inspect {path}` lists them."
            ) from error
    raise DataError(f"{path}: column '{name}' holds numbers that cannot be read")
