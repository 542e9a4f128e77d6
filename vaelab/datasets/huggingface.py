"""Pictures and arrays that the library `datasets` saved."""

from __future__ import annotations

import io
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from vaelab.datasets import arrow_files
from vaelab.datasets.array_files import Number
from vaelab.datasets.array_layout import Layout, arrange, arranged_shape
from vaelab.datasets.array_values import checked_values
from vaelab.datasets.base import Dataset, DatasetConfig
from vaelab.datasets.bounded import expanded
from vaelab.datasets.locate import checksums
from vaelab.datasets.memory import MemoryPart
from vaelab.datasets.partition import MAX_SEED, partition
from vaelab.datasets.pictures import Fit, decode
from vaelab.datasets.streaming import ReaderPart
from vaelab.errors import DataError
from vaelab.registry import DATASETS
from vaelab.types import DataSpec, DataSplits, Shape, Values


class HuggingFaceConfig(DatasetConfig):
    """Arguments of data sets that `save_to_disk` wrote."""

    kind: Literal["huggingface"] = "huggingface"

    path: str
    """Folder that `save_to_disk` wrote: of one data set, such as `mine/train` where `mine` holds several splits."""

    test_path: str | None = None
    """Such a folder with the test data; without it some of the data are held out."""

    x: str = "image"
    """Column of the data: pictures, or arrays of one shape."""

    y: str | None = "label"
    """Column of the labels, left out where there is none of the default name."""

    size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None
    """Side of the square, or height and width, to which pictures are brought. With it, a model can be built before the folder
    exists. Arrays have none."""

    channels: Literal[1, 3] = 3
    """Of pictures: 1 for grey, 3 for colour."""

    fit: Fit = "crop"
    """How other proportions of pictures are met: by cutting the longer side at both ends, or by stretching."""

    values: Values | None = None
    """What the numbers of arrays are. Not given: bytes are grey levels 0 to 255, truth values are bits, others lie in [0, 1]."""

    layout: Layout = "auto"
    """What the axes of an array are, as in the data set `arrays`."""

    test_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the data held out for the test where there is no `test_path`."""

    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of the permutation that decides which data are held out."""

    memory_limit: NonNegativeInt = 2**30
    """Bytes, at one byte a channel of a pixel, up to which all pictures are kept in memory; above, they are streamed."""

    workers: NonNegativeInt = 2
    """Processes that decode streamed pictures; 0 decodes in the training process."""

    @classmethod
    def example(cls) -> Self:
        """Small pictures in a folder that need not exist for a model to be built."""
        return cls(path="saved", size=16, train_limit=64, test_limit=32)

    @property
    def height_width(self) -> tuple[int, int] | None:
        """Height and width of a picture, or None for arrays."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


@DATASETS.register(HuggingFaceConfig)
class HuggingFace(Dataset[HuggingFaceConfig]):
    """Pictures or arrays of a Hugging Face data set on the disk, as `save_to_disk` writes it.

    Reads the Arrow files with pyarrow (the extra `arrow`); the library `datasets` is not needed and no code of a data set
    runs. Columns of the types Image, Array2D to Array5D, and lists of a fixed length are read, and labels of the types
    ClassLabel and whole numbers. Pictures must lie in the files, as `save_to_disk` puts them. For columns of single values
    use the data set `table` with the same folder.

    *Cost*: as `arrays` or `image_folder`; pictures are decoded when they are read.
    """

    @property
    def spec(self) -> DataSpec:
        """Shape from the config or from the description of the columns; classes from the latter."""
        config = self.config
        path = expanded(config.path)
        known = arrow_files.features(path) if path.is_dir() or config.size is None else {}
        classes = arrow_files.class_names(known.get(config.y or ""))
        count = None if classes is None else len(classes)
        if config.height_width is not None:
            return self._describe((config.channels, *config.height_width), num_classes=count)
        stored, number = _stored(path, known, config.x)
        return self._describe(arranged_shape(stored, config.layout, str(path)), _values(config, number), count)

    def load(self) -> DataSplits:
        """Map the files, and decode the pictures if they fit into memory."""
        config = self.config
        paths = [expanded(path) for path in (config.path, config.test_path) if path is not None]
        tables = [arrow_files.read(path) for path in paths]
        size = config.height_width
        needed = 0 if size is None else sum(table.num_rows for table in tables) * config.channels * size[0] * size[1]
        in_memory = needed <= config.memory_limit
        parts = [self._part(path, table, in_memory) for path, table in zip(paths, tables, strict=True)]
        provenance: dict[str, Any] = {
            "source": "huggingface",
            "files": {str(path): checksums(path, arrow_files.files(path)) for path in paths},
            "in_memory": in_memory,
            "classes": arrow_files.class_names(arrow_files.features(paths[0]).get(config.y or "")) or [],
        }
        test = parts[1] if len(parts) > 1 else None
        return partition(config, self.spec, parts[0], test, provenance, config.split_seed, config.test_fraction)

    def _part(self, path: Path, table: Any, in_memory: bool) -> Any:
        config = self.config
        known = arrow_files.features(path)
        _require(path, known, config.x)
        y = self._labels(path, known, table)
        if config.height_width is None:
            shape, number = _stored(path, known, config.x)
            if arranged_shape(shape, config.layout, str(path)) != self.spec.shape:
                raise DataError(
                    f"{path}: column '{config.x}' holds data of shape {shape}, {self.spec.shape} was expected"
                )
            to = {"uint8": np.uint8, "bool": np.uint8, "integer": np.int64, "float": np.float32}[number]
            x = torch.from_numpy(np.array(arrow_files.array(path, table, config.x, shape), dtype=to))
            kept, divisor = checked_values(x, number, _values(config, number), f"{path}: column '{config.x}'", None)
            return MemoryPart(arrange(kept, config.layout), y, divisor)
        if known[config.x].get("_type") != "Image":
            raise DataError(
                f"{path}: column '{config.x}' holds {known[config.x].get('_type')}, no pictures. Leave \"size\" out to read arrays."
            )
        reader = SavedPictures(str(path), config.x, config.height_width, config.channels, config.fit, table.num_rows)
        return ReaderPart(reader, y, (os.cpu_count() or 1) if in_memory else config.workers, in_memory)

    def _labels(self, path: Path, known: dict[str, dict[str, Any]], table: Any) -> Tensor | None:
        name = self.config.y
        if name is None or (name not in known and "y" not in self.config.model_fields_set):
            return None
        _require(path, known, name)
        found = arrow_files.numbers(table.column(name))
        if found is None or not np.isfinite(found).all() or (found < 0).any() or (found != np.floor(found)).any():
            raise DataError(f"{path}: labels '{name}' are not whole numbers from 0. Set \"y\": null to do without.")
        classes = self.spec.num_classes
        if classes is not None and found.max(initial=0) >= classes:
            raise DataError(f"{path}: labels '{name}' reach to {found.max():g}, and there are {classes} classes")
        return torch.from_numpy(found.astype(np.int64))


@dataclass(frozen=True)
class SavedPictures:
    """Decodes pictures of a saved data set; each process maps the files for itself."""

    folder: str
    column: str
    size: tuple[int, int]
    channels: int
    fit: Fit
    number: int
    _opened: dict[int, Any] = field(default_factory=dict, repr=False, compare=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    def __len__(self) -> int:
        return self.number

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({**state, "_lock": threading.Lock()})

    def read(self, row: int) -> Tensor:
        """Picture number `row`."""
        with self._lock:
            # a table that was mapped before a fork is not touched in the child
            if os.getpid() not in self._opened:
                self._opened[os.getpid()] = arrow_files.read(Path(self.folder)).column(self.column)
            stored = self._opened[os.getpid()][row].as_py()
        name = f"{self.folder}: row {row} of '{self.column}'"
        content = stored.get("bytes") if isinstance(stored, dict) else None
        if not content:
            raise DataError(
                f"{name} holds no picture but the name of a file. Save the data set again with `save_to_disk`, which puts "
                "the pictures into it."
            )
        return decode(io.BytesIO(content), name, self.size, self.channels, self.fit)


def _values(config: HuggingFaceConfig, number: Number) -> Values:
    return config.values or ("binary" if number == "bool" else "unit")


def _require(path: Path, known: dict[str, dict[str, Any]], name: str) -> None:
    if name not in known:
        raise DataError(f"{path} has no column '{name}'. It has: {', '.join(known)}.")


_NUMBERS: dict[str, Number] = {
    "uint8": "uint8",
    "bool": "bool",
    "float16": "float",
    "float32": "float",
    "float64": "float",
}


def _stored(path: Path, known: dict[str, dict[str, Any]], name: str) -> tuple[Shape, Number]:
    """Shape of an array in a column, and the kind of its numbers, from the description of the columns.

    Raises:
        DataError: it holds something else.
    """
    _require(path, known, name)
    feature = known[name]
    kind = str(feature.get("_type"))
    if kind == "Image":
        raise DataError(f"{path}: column '{name}' holds pictures. Give the \"size\" to which they are to be brought.")
    if kind.startswith("Array") and isinstance(feature.get("shape"), list) and None not in feature["shape"]:
        return tuple(map(int, feature["shape"])), _NUMBERS.get(str(feature.get("dtype")), "integer")
    inner = feature.get("feature")
    length = feature.get("length", -1)
    if isinstance(inner, dict) and isinstance(length, int) and length > 0 and inner.get("_type") == "Value":
        return (length,), _NUMBERS.get(str(inner.get("dtype")), "integer")
    raise DataError(
        f"{path}: column '{name}' has the type {kind}; pictures, arrays of one shape and lists of a fixed length are read. For "
        "single values use the data set 'table'."
    )
