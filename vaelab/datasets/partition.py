"""Which data are for training, which for validation and which for the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from vaelab.datasets.base import DatasetConfig
from vaelab.datasets.binarisation import Binariser
from vaelab.errors import DataError
from vaelab.types import DataSpec, DataSplits, Split

#: Largest seed of a permutation.
MAX_SEED = 2**32 - 1


class Part(Protocol):
    """One part of a data set as it was published: `MemoryPart` or `ReaderPart`."""

    def __len__(self) -> int: ...

    def select(self, rows: Tensor, spec: DataSpec, binariser: Binariser) -> Split:
        """The data at these positions, as a split."""
        ...


def permutation(n: int, seed: int) -> Tensor:
    """A permutation of n that is the same for ever."""
    # numpy keeps the stream of RandomState unchanged across its versions; torch and numpy's newer Generator
    # do not promise that, and a split that moves with a library would not be one.
    return torch.from_numpy(np.random.RandomState(seed).permutation(n).astype(np.int64))


@dataclass(frozen=True)
class Rows:
    """Positions of the data of each split in the published training part.

    Attributes:
        train: after the limit.
        validation: none where no data are held out for it.
        test: after the limit; none where the test part is published.
        held: number of data held out for the test.
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    held: int


def divide(
    config: DatasetConfig, total: int, shuffle_seed: int | None, test_fraction: float, published_test: bool
) -> Rows:
    """Which of the training part's data go where; see `partition`.

    Raises:
        DataError: nothing is left to train on.
    """
    rows = torch.arange(total) if shuffle_seed is None else permutation(total, shuffle_seed)
    held = 0 if published_test else max(1, round(test_fraction * total))
    count = total - held - config.validation
    if count < 1:
        taken = f"{held} for the test and {config.validation}" if held else str(config.validation)
        raise DataError(
            f"dataset '{config.kind}': there are {total} training data; holding out {taken} for validation "
            'leaves none to train on. Lower "validation".'
        )
    return Rows(
        rows[:count][: config.train_limit],
        rows[count : count + config.validation],
        rows[total - held :][: config.test_limit] if held else rows[:0],
        held,
    )


def partition(
    config: DatasetConfig,
    spec: DataSpec,
    train: Part,
    test: Part | None,
    provenance: Mapping[str, Any],
    shuffle_seed: int | None = None,
    test_fraction: float = 0.0,
) -> DataSplits:
    """Hold out validation and test data, apply the limits, and record what was done.

    Where there is an official order (`shuffle_seed` is None) validation takes the last of the training data,
    as is the custom with MNIST; else a seeded permutation decides. Limits come last, so that they never move
    a datum from one split to another.

    Args:
        config: sizes, limits and binarisation.
        spec: of one datum, binarisation included.
        train: what training, validation and, without `test`, test data are taken from.
        test: the published test part, or None.
        provenance: where the data come from; splits and binarisation are added.
        shuffle_seed: seed of the permutation, or None to keep the order.
        test_fraction: share of `train` that becomes the test split where `test` is None.

    Raises:
        DataError: nothing is left to train on, or a part is empty.
    """
    rows = divide(config, len(train), shuffle_seed, test_fraction, test is not None)
    if test is not None and not len(test):
        raise DataError(f"dataset '{config.kind}': the test part is empty. Give data for the test.")

    of_train = Binariser.of(config, "train")
    splits = {
        "train": train.select(rows.train, spec, of_train),
        "validation": train.select(rows.validation, spec, of_train) if config.validation else None,
        "test": train.select(rows.test, spec, of_train)
        if test is None
        else test.select(torch.arange(len(test))[: config.test_limit], spec, Binariser.of(config, "test")),
    }
    record = {
        **provenance,
        "binarisation": config.binarisation,
        "binarisation_seed": config.binarisation_seed if config.binarisation == "static" else None,
        "sizes": {name: 0 if split is None else len(split) for name, split in splits.items()},
        "split_rule": _rule(config, shuffle_seed, rows.held),
    }
    assert splits["train"] is not None
    assert splits["test"] is not None
    return DataSplits(splits["train"], splits["validation"], splits["test"], record)


def _rule(config: DatasetConfig, shuffle_seed: int | None, held: int) -> str:
    order = "as published" if shuffle_seed is None else f"permuted with seed {shuffle_seed}"
    said = [f"training data {order}"]
    said.append(f"test: the last {held} of them" if held else "test: the published test part")
    if config.validation:
        before = f", before those {held}" if held else ""
        said.append(f"validation: the last {config.validation} of the training data{before}")
    for name, limit in (("train", config.train_limit), ("test", config.test_limit)):
        if limit is not None:
            said.append(f"{name}: at most the first {limit}")
    return "; ".join(said)
