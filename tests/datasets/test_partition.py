from __future__ import annotations

import pytest
import torch

from vaelab.datasets.digits import DigitsConfig
from vaelab.datasets.memory import MemoryPart
from vaelab.datasets.partition import partition, permutation
from vaelab.errors import DataError
from vaelab.types import DataSpec

SPEC = DataSpec((1, 1, 1), "unit")


def numbered(n: int, start: int = 0) -> MemoryPart:
    return MemoryPart(torch.zeros(n, 1, 1, 1, dtype=torch.uint8), torch.arange(start, start + n))


def parts_of(splits) -> list[list[int]]:
    found = (splits.train, splits.validation, splits.test)
    return [[] if s is None else s.fetch(torch.arange(len(s))).y.tolist() for s in found]


def test_official_order_holds_out_the_last():
    splits = partition(DigitsConfig(validation=3), SPEC, numbered(10), numbered(4, 100), {"source": "s"})
    assert parts_of(splits) == [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9], [100, 101, 102, 103]]
    assert splits.provenance["sizes"] == {"train": 7, "validation": 3, "test": 4}
    assert splits.provenance["source"] == "s"
    assert "last 3" in splits.provenance["split_rule"]


def test_limits_do_not_move_a_datum_to_another_split():
    config = DigitsConfig(validation=3, train_limit=2, test_limit=1)
    assert parts_of(partition(config, SPEC, numbered(10), numbered(4, 100), {})) == [[0, 1], [7, 8, 9], [100]]


def test_a_permutation_covers_all_and_never_overlaps():
    splits = partition(DigitsConfig(validation=20), SPEC, numbered(100), None, {}, 5, 0.25)
    train, validation, test = parts_of(splits)
    assert [len(train), len(validation), len(test)] == [55, 20, 25]
    assert sorted(train + validation + test) == list(range(100))
    assert train != sorted(train)
    same_test = parts_of(partition(DigitsConfig(validation=5), SPEC, numbered(100), None, {}, 5, 0.25))[2]
    assert same_test == test
    assert parts_of(partition(DigitsConfig(), SPEC, numbered(100), None, {}, 6, 0.25))[2] != test


def test_the_permutation_never_changes():
    assert permutation(10, 0).tolist() == [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]


def test_at_least_one_datum_is_for_the_test():
    assert len(partition(DigitsConfig(), SPEC, numbered(3), None, {}, 0, 0.01).test) == 1


@pytest.mark.parametrize("validation", [10, 11])
def test_training_data_must_remain(validation):
    with pytest.raises(DataError, match="leaves none to train on"):
        partition(DigitsConfig(validation=validation), SPEC, numbered(10), numbered(2), {})
    assert len(partition(DigitsConfig(validation=9), SPEC, numbered(10), numbered(2), {}).train) == 1


def test_an_empty_test_part_is_refused():
    with pytest.raises(DataError, match="test part is empty"):
        partition(DigitsConfig(), SPEC, numbered(10), numbered(0), {})


def test_the_seed_is_recorded_where_it_matters():
    for mode, seed in (("static", 9), ("dynamic", None)):
        config = DigitsConfig(binarisation=mode, binarisation_seed=9)
        record = partition(config, SPEC, numbered(10), numbered(2), {}).provenance
        assert (record["binarisation"], record["binarisation_seed"]) == (mode, seed)
