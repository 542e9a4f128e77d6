"""The user's own arrays."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from vaelab.datasets import array_files
from vaelab.datasets.array_layout import Layout, arrange, arranged_shape
from vaelab.datasets.array_reader import ArrayReader
from vaelab.datasets.array_values import checked_values
from vaelab.datasets.base import Dataset, DatasetConfig
from vaelab.datasets.bounded import expanded
from vaelab.datasets.locate import checksums
from vaelab.datasets.memory import MemoryPart
from vaelab.datasets.partition import MAX_SEED, partition
from vaelab.datasets.streaming import ReaderPart
from vaelab.errors import BuildError, DataError
from vaelab.registry import DATASETS
from vaelab.section import PathText
from vaelab.types import DataSpec, DataSplits, Values


class ArraysConfig(DatasetConfig):
    """Arguments of the user's own arrays."""

    kind: Literal["arrays"] = "arrays"

    path: PathText
    """A .npz, .npy or .safetensors file whose array has the data along its first axis."""

    x: str = "x"
    """Name of the array of data; a .npy file has no names."""

    y: str | None = "y"
    """Name of the array of labels, whole numbers from 0; left out where the file has none of the default
    name."""

    conditions: str | None = None
    """Name of an array `[N, C]` of real numbers on which a conditional model depends, in place of the label."""

    conditions_test: str | None = None
    """Name of that array for the test data; by default the same where there is a `test_path`."""

    test_path: PathText | None = None
    """File with the test data; without it and without `x_test`, some of the data are held out."""

    x_test: str | None = None
    """Name of the array of test data in `test_path`, or in `path` where there is none; by default the same as
    `x`."""

    y_test: str | None = None
    """Name of the array of test labels; by default the same as `y` where there is a `test_path`."""

    values: Values | None = None
    """What the numbers are. Not given: bytes are grey levels 0 to 255, truth values are bits, others lie in
    [0, 1]."""

    missing: bool = False
    """Whether numbers may be missing, which NaN marks; else NaN is refused."""

    layout: Layout = "auto"
    """What the axes of a datum are: `hw` a grey picture, `hwc` one with channels last, `as_is` what the model
    expects. `auto` takes two axes for `hw` and anything else as it is, unless channels seem to be last."""

    shape: tuple[PositiveInt, ...] | None = None
    """Shape of a datum as the model sees it. With it, a model can be built before the file exists."""

    num_classes: PositiveInt | None = None
    """Number of classes, for components that need it; labels must be smaller."""

    test_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the data held out for the test where there is no test part."""

    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of the permutation that decides which data are held out."""

    memory_limit: NonNegativeInt = 2**30
    """Bytes as they are kept (one of a byte or bit, four of another number) up to which a .npy file is read into memory; above, it
    is streamed. Files of other formats are always read."""

    workers: NonNegativeInt = 2
    """Processes that read streamed data; 0 reads in the training process."""

    @classmethod
    def example(cls) -> Self:
        """Grey pictures in a file that need not exist for a model to be built."""
        return cls(path="data.npz", shape=(1, 8, 8), train_limit=64, test_limit=32)


@DATASETS.register(ArraysConfig)
class Arrays(Dataset[ArraysConfig]):
    """The user's own arrays, from .npz, .npy or .safetensors files; nothing in them is ever unpickled.

    Which data are held out is decided by a seeded permutation. Numbers that are not finite, or outside the
    range that `values` promises, are refused. With `missing`, NaN stands for a number that was not observed: batches then carry a
    mask, and the likelihood scores what was observed alone.

    *Cost*: kept in memory, one byte a number for 8-bit arrays and four for others, or read from the disk batch by
    batch.
    """

    @property
    def spec(self) -> DataSpec:
        """Shape and values, from the config where it gives them and from the file's header otherwise."""
        config = self.config
        if config.shape is not None:
            return self._completed(self._describe(config.shape, self._values(None), config.num_classes))
        path = expanded(config.path)
        found = array_files.header(path, config.x)
        shape = arranged_shape(found.shape[1:], config.layout, str(path))
        return self._completed(self._describe(shape, self._values(found), config.num_classes))

    def _completed(self, spec: DataSpec) -> DataSpec:
        if self.config.missing and self.config.binarisation in ("static", "threshold"):
            raise BuildError(
                f"dataset 'arrays': binarisation '{self.config.binarisation}' would make bits of numbers that are missing. Use "
                '\'dynamic\', or store bits and set "values": "binary".'
            )
        if self.config.conditions is not None:
            if spec.condition_shape is not None:
                raise BuildError(
                    "dataset 'arrays' takes its condition from the array 'conditions' or from the label, not from both. Set "
                    '"condition": "none".'
                )
            path = expanded(self.config.path)
            found = array_files.header(path, self.config.conditions)
            if len(found.shape) != 2:
                raise DataError(
                    f"{path}: array '{self.config.conditions}' has the shape {found.shape}; conditions are [N, C]"
                )
            spec = replace(spec, condition_shape=found.shape[1:], condition_values="real")
        return replace(spec, masked=self.config.missing)

    def load(self) -> DataSplits:
        """Read the arrays and check them."""
        config = self.config
        path = expanded(config.path)
        train = self._part(path, config.x, config.y, config.conditions, required="y" in config.model_fields_set)
        used, test = [path], None
        if config.test_path is not None:
            used.append(expanded(config.test_path))
            y_test = config.y_test or (None if train.y is None else config.y)
            conditions = config.conditions_test or config.conditions
            test = self._part(used[1], config.x_test or config.x, y_test, conditions, required=True)
        elif config.x_test is not None:
            if config.conditions is not None and config.conditions_test is None:
                raise DataError(
                    'dataset \'arrays\': "conditions" names an array and "conditions_test" none, which the test data '
                    "of the same file need"
                )
            test = self._part(path, config.x_test, config.y_test, config.conditions_test, required=True)
        files = {str(file): checksums(file.parent, [file])[file.name] for file in used}
        provenance = {"source": "arrays", "files": files}
        return partition(config, self.spec, train, test, provenance, config.split_seed, config.test_fraction)

    def _values(self, found: array_files.Header | None) -> Values:
        # with a declared shape the file is not asked, not even once it exists, or the model would not fit it
        if self.config.values is not None or self.config.shape is not None or found is None:
            return self.config.values or "unit"
        return "binary" if found.number == "bool" else "unit"

    def _part(
        self, path: Path, key: str, label_key: str | None, condition_key: str | None, required: bool
    ) -> MemoryPart | ReaderPart:
        config = self.config
        found = array_files.header(path, key)
        if len(found.shape) < 2 or not found.shape[0]:
            raise DataError(
                f"{path}: array '{key}' has the shape {found.shape}; expected N data along the first of 2 or more axes"
            )
        where = f"{path}: array '{key}'"
        shape = arranged_shape(found.shape[1:], config.layout, str(path))
        if shape != self.spec.shape:
            raise DataError(
                f"{where} holds data of shape {shape}, and {self.spec.shape} was expected. Correct 'shape' or 'layout', or give "
                "data of one shape."
            )
        kept = math.prod(found.shape) * (1 if found.number in ("uint8", "bool") else 4)
        if path.suffix == ".npy" and kept > config.memory_limit:
            return self._streamed(path, key, self._values(found))
        x = array_files.read(path, key)
        missing = x.isnan() if config.missing and x.is_floating_point() else None
        x, divisor = checked_values(x, found.number, self._values(found), where, missing)
        if missing is not None:
            x = x.float().masked_fill(missing, math.nan)
        y = self._labels(path, label_key, required, len(x))
        return MemoryPart(
            arrange(x, config.layout), y, divisor, condition=self._conditions(path, condition_key, len(x))
        )

    def _streamed(self, path: Path, key: str, values: Values) -> ReaderPart:
        if self.config.missing or self.config.conditions is not None:
            raise DataError(
                f'{path} is larger than \'memory_limit\', and data with "missing" numbers or "conditions" are not streamed. Raise the '
                "limit, or give fewer data."
            )
        reader = ArrayReader.of(path, key, values, self.config.layout)
        return ReaderPart(reader, None, self.config.workers, False, reader.divisor)

    def _conditions(self, path: Path, key: str | None, count: int) -> Tensor | None:
        if key is None:
            return None
        found = array_files.read(path, key).to(torch.float32)
        where = f"{path}: conditions '{key}'"
        if found.shape != (count, *(self.spec.condition_shape or ())):
            raise DataError(
                f"{where} have the shape {tuple(found.shape)}, and there are {count} data. Give a row of numbers a datum."
            )
        if not bool(found.isfinite().all()):
            raise DataError(f"{where} hold numbers that are not finite. Remove or replace those data.")
        return found

    def _labels(self, path: Path, key: str | None, required: bool, count: int) -> Tensor | None:
        known = array_files.keys(path)
        if key is None or ((known is None or key not in known) and not required):
            return None
        if known is None:
            raise DataError(f"{path} holds one array and so no labels '{key}'. Use a .npz file for both.")
        y = array_files.read(path, key)
        where = f"{path}: labels '{key}'"
        if y.is_floating_point():
            raise DataError(f"{where} are not whole numbers. Store them as integers from 0.")
        if y.shape != (count,):
            raise DataError(
                f"{where} have the shape {tuple(y.shape)}, and there are {count} data. Give one label a datum."
            )
        y = y.to(torch.int64)
        if int(y.min()) < 0 or (self.config.num_classes is not None and int(y.max()) >= self.config.num_classes):
            raise DataError(f"{where} reach from {int(y.min())} to {int(y.max())}; they must be 0 to num_classes - 1")
        return y
