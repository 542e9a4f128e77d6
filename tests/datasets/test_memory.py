from __future__ import annotations

import pytest
import torch

from vaelab.datasets.binarisation import Binariser
from vaelab.datasets.memory import MemoryPart, MemorySplit
from vaelab.types import DataSpec

SPEC = DataSpec((1, 4, 4), "unit")


def split_of(x: torch.Tensor, mode: str, seed: int = 0, divisor: float = 255.0, rows=None, part="train") -> MemorySplit:
    rows = torch.arange(len(x)) if rows is None else rows
    return MemoryPart(x, torch.arange(len(x)), divisor).select(rows, SPEC, Binariser(mode, seed, part))


@pytest.fixture
def grey() -> torch.Tensor:
    return torch.randint(0, 256, (50, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def all_of(split: MemorySplit) -> torch.Tensor:
    return split.fetch(torch.arange(len(split))).x


def test_scaled_exactly(grey):
    x = all_of(split_of(grey, "none"))
    assert x.dtype == torch.float32
    assert torch.equal(x, grey.to(torch.float32) / 255)


def test_kept_float_data_are_never_changed_by_a_fetch():
    data = torch.rand(5, 1, 4, 4)
    split = split_of(data.clone(), "none", divisor=2.0)
    first = all_of(split)
    first.zero_()
    assert torch.equal(all_of(split), data / 2)


def test_threshold_is_strictly_above_one_half():
    x = torch.tensor([0, 127, 128, 255], dtype=torch.uint8).repeat(4).reshape(1, 1, 4, 4)
    assert all_of(split_of(x, "threshold")).flatten()[:4].tolist() == [0, 0, 1, 1]
    halves = torch.tensor([0.0, 0.5, 0.5001, 1.0]).repeat(4).reshape(1, 1, 4, 4)
    assert all_of(split_of(halves, "threshold", divisor=1.0)).flatten()[:4].tolist() == [0, 0, 1, 1]


def test_dynamic_draws_anew_with_the_right_mean_and_the_global_generator():
    levels = torch.tensor([0, 64, 191, 255], dtype=torch.uint8).repeat(4).reshape(1, 1, 4, 4)
    split = split_of(levels, "dynamic")
    index = torch.zeros(20_000, dtype=torch.int64)
    torch.manual_seed(3)
    x = split.fetch(index).x
    assert set(x.unique().tolist()) == {0.0, 1.0}
    p = levels.flatten() / 255
    # 80,000 draws a level: five standard errors, and none for the two that are certain
    means = x.reshape(-1, 4).mean(0)
    assert ((means - p[:4]).abs() <= 5 * (p[:4] * (1 - p[:4]) / 80_000).sqrt()).all()
    assert not torch.equal(x, split.fetch(index).x)
    torch.manual_seed(3)
    assert torch.equal(x, split.fetch(index).x)


def test_static_is_one_draw_that_seed_and_part_determine(grey):
    split = split_of(grey, "static", seed=7)
    assert torch.equal(all_of(split), all_of(split))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert torch.equal(all_of(split_of(grey, "static", seed=7)), all_of(split))
    assert torch.equal(torch.get_rng_state(), before)
    for other in (split_of(grey, "static", seed=8), split_of(grey, "static", seed=7, part="test")):
        assert not torch.equal(all_of(other), all_of(split))


def test_static_bits_of_a_datum_do_not_depend_on_the_others(grey):
    whole = all_of(split_of(grey, "static"))
    rows = torch.tensor([40, 3, 17])
    assert torch.equal(all_of(split_of(grey, "static", rows=rows)), whole[rows])


def test_static_bits_have_the_right_mean_and_neighbours_are_uncorrelated():
    grey = torch.full((4000, 1, 4, 4), 51, dtype=torch.uint8)  # p = 0.2
    bits = all_of(split_of(grey, "static")).flatten(1)
    assert abs(float(bits.mean()) - 0.2) < 5 * (0.16 / bits.numel()) ** 0.5
    centred = bits - 0.2
    for a, b in ((centred[1:], centred[:-1]), (centred[:, 1:], centred[:, :-1])):
        assert abs(float((a * b).mean()) / 0.16) < 5 / a.numel() ** 0.5


def test_batches_keep_the_order_and_the_rest(grey):
    split = split_of(grey, "none")
    order = torch.randperm(50)
    found = list(split.batches(order, 16))
    assert [len(batch) for batch in found] == [16, 16, 16, 2]
    assert found[0].x.shape == (16, 1, 4, 4)
    assert found[0].y.dtype == torch.int64
    assert torch.equal(torch.cat([batch.y for batch in found]), order)
    assert torch.equal(torch.cat([batch.x for batch in found]), split.fetch(order).x)
    assert list(split.batches(torch.tensor([], dtype=torch.int64), 16)) == []


def test_without_labels(grey):
    split = MemoryPart(grey, None).select(torch.arange(3), SPEC, Binariser("none", 0, "train"))
    assert split.fetch(torch.tensor([2])).y is None


def test_moves_to_another_device(grey):
    moved = split_of(grey, "none").to(torch.device("meta"))
    batch = moved.fetch(torch.tensor([0, 1]))
    assert batch.x.device.type == batch.y.device.type == "meta"


def test_an_index_out_of_range_is_refused(grey):
    with pytest.raises(IndexError):
        split_of(grey, "none").fetch(torch.tensor([50]))


@pytest.mark.parametrize(("mode", "divisor"), [("threshold", 16.0), ("static", 255.0), ("static", 16.0)])
def test_bits_are_kept_as_bytes(grey, mode, divisor):
    split = split_of((grey // 16).to(torch.uint8), mode, divisor=divisor)
    assert split._stored.dtype == torch.uint8
    assert set(all_of(split).unique().tolist()) <= {0.0, 1.0}
