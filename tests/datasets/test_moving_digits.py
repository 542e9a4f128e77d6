"""Moving pictures: where they are, how they turn, and that a datum always moves the same way."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from vaelab.datasets.memory import MemorySplit
from vaelab.datasets.moving_digits import Motion, MovingConfig, moved
from vaelab.errors import BuildError
from vaelab.registry import DATASETS
from vaelab.types import DataSpec, DataSplits

DIGITS: dict[str, Any] = {"kind": "digits", "train_limit": 20, "test_limit": 10}


def config(**fields: Any) -> MovingConfig:
    return MovingConfig.model_validate({"data": DIGITS, "size": 16, **fields})


def load(**fields: Any) -> DataSplits:
    return DATASETS.build(config(**fields)).load()


def frames(splits: DataSplits, index: Tensor | None = None) -> Tensor:
    split = splits.train
    index = torch.arange(len(split)) if index is None else index
    return split.fetch(index).x.unflatten(2, (16, 16))


def test_a_picture_moved_by_whole_pixels_is_a_copy():
    x = torch.rand(2, 3, 5, 5)
    places = torch.tensor([[[1.0, 4.0], [3.0, 0.0]], [[0.0, 0.0], [2.0, 2.0]]])
    made = moved(x, places, torch.zeros(2, 2), 9)
    expected = torch.zeros(2, 2, 3, 9, 9)
    for b in range(2):
        for t in range(2):
            left, top = (int(value) for value in places[b, t])
            expected[b, t, :, top : top + 5, left : left + 5] = x[b]
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [6, 7])
def test_a_quarter_turn_is_to_the_left(side: int):
    x = torch.rand(1, 1, side, side)
    angles = torch.tensor([[0.0, 90.0, 180.0, -90.0]])
    made = moved(x, torch.zeros(1, 4, 2), angles, side)[0, :, 0]
    for k, turned in zip((0, 1, 2, 3), made, strict=True):
        torch.testing.assert_close(turned, torch.rot90(x[0, 0], k), atol=1e-5, rtol=0)


def test_a_turn_is_by_the_declared_angle():
    """The direction from the middle to a bright spot."""
    x = torch.zeros(1, 1, 21, 21)
    x[0, 0, 9:12, 17:20] = 1
    motion = Motion(config(motion="rotate", turn=35.0, steps=9), 4)
    angles = motion.angles(torch.tensor([[0.0, 0.0, 0.0, 0.2], [0.0, 0.0, 0.0, 0.7]]))
    assert torch.equal(angles[0], 35.0 * torch.arange(9))
    assert torch.equal(angles[1], -angles[0])
    made = moved(x, motion.places(torch.rand(1, 4)), angles[:1], 25)[0, :, 0]
    pixels = torch.arange(25.0) - 12
    right = (made * pixels).sum((1, 2)) / made.sum((1, 2))
    up = (made * -pixels.unsqueeze(1)).sum((1, 2)) / made.sum((1, 2))
    found = torch.rad2deg(torch.atan2(up, right)) % 360
    difference = (found - angles[0] + 180) % 360 - 180
    assert difference.abs().max() < 0.5
    assert (torch.hypot(right, up) - 8).abs().max() < 0.05


def test_a_bounce_stays_inside_at_constant_speed():
    motion = Motion(config(motion="bounce", speed=3.0, steps=40), 8)
    places = motion.places(torch.rand(200, 4, dtype=torch.float64))
    assert places.min() >= 0
    assert places.max() <= 8
    step = places.diff(dim=1).abs()
    # an axis that does not meet an edge between two steps moves by its part of the speed; one that does, by less
    usual = step.amax(1, keepdim=True)
    assert (step <= usual + 1e-9).all()
    assert torch.allclose(torch.hypot(usual[..., 0], usual[..., 1]), torch.tensor(3.0, dtype=torch.float64))
    near = torch.minimum(places, 8 - places)
    reflected = step < usual - 1e-9
    assert (torch.minimum(near[:, :-1], near[:, 1:])[reflected] < 3).all()
    assert 0.1 < reflected.double().mean() < 0.6
    # between reflections the direction is kept
    turns = places.diff(dim=1).sign().diff(dim=1) != 0
    assert (turns.sum(1) >= 2).any()
    assert not turns[~(reflected[:, 1:] | reflected[:, :-1])].any()


def test_the_starts_and_directions_are_uniform():
    motion = Motion(config(motion="bounce", speed=0.5), 10)
    places = motion.places(torch.rand(20_000, 4))
    start, velocity = places[:, 0] / 10, places[:, 1] - places[:, 0]
    for value, deviation in ((start, math.sqrt(1 / 12)), (velocity / 0.5, math.sqrt(1 / 2))):
        centred = value - (0.5 if value is start else 0.0)
        assert (centred.mean(0).abs() < 5 * deviation / math.sqrt(20_000)).all()


def test_a_flying_digit_keeps_its_ink_and_its_path():
    """Bilinear shifts move the centre of the ink exactly."""
    splits = load(motion="bounce", speed=1.5, steps=6)
    made = frames(splits).double()
    ink = made.sum((2, 3))
    assert torch.allclose(ink, ink[:, :1].expand_as(ink), rtol=1e-4)
    pixels = torch.arange(16, dtype=torch.float64)
    centre = torch.stack([(made.sum(2) * pixels).sum(2), (made.sum(3) * pixels).sum(2)], -1) / ink.unsqueeze(2)
    step = centre.diff(dim=1)
    straight = (step[:, 1:] - step[:, :-1]).abs().amax((1, 2)) < 1e-3
    assert straight.any()
    assert torch.allclose(step[straight].norm(dim=-1), torch.tensor(1.5, dtype=torch.float64), atol=1e-3)


def test_a_datum_moves_the_same_way_whatever_it_is_read_with():
    splits = load(motion="both")
    whole = frames(splits)
    assert torch.equal(whole, frames(splits))
    order = torch.tensor([7, 3, 11])
    torch.testing.assert_close(frames(splits, order), whole[order])
    batches = list(splits.train.batches(order, 2))
    assert [len(batch) for batch in batches] == [2, 1]
    torch.testing.assert_close(torch.cat([batch.x for batch in batches]), splits.train.fetch(order).x)
    assert torch.equal(frames(load(motion="both", data={**DIGITS, "train_limit": 12})), whole[:12])
    assert not torch.equal(frames(load(motion="both", seed=1)), whole)
    moved_to = splits.train.to(torch.device("cpu"))
    assert torch.equal(moved_to.fetch(order).x, splits.train.fetch(order).x)


def test_splits_move_in_ways_of_their_own():
    dataset = DATASETS.build(config())
    inner = MemorySplit(DataSpec((1, 8, 8), "unit"), torch.rand(5, 64), None)
    index = torch.arange(5)
    train, test = (dataset.wrap(inner, name).fetch(index).x for name in ("train", "test"))
    assert not torch.equal(train, test)


def test_new_motion_each_epoch_is_for_training_alone():
    splits = load(new_each_epoch=True)
    assert not torch.equal(frames(splits), frames(splits))
    index = torch.arange(5)
    assert torch.equal(splits.test.fetch(index).x, splits.test.fetch(index).x)
    torch.manual_seed(3)
    one = frames(splits)
    torch.manual_seed(3)
    assert torch.equal(one, frames(splits)), "a run that is resumed sees the same"


def test_labels_and_values_are_those_of_the_pictures():
    inner = DATASETS.build(DATASETS._validate(DIGITS)).load()
    splits = load(steps=3)
    assert splits.train.spec == DataSpec((3, 256), "unit", 10)
    index = torch.arange(20)
    assert torch.equal(splits.train.fetch(index).y, inner.train.fetch(index).y)
    assert splits.provenance["source"] == inner.provenance["source"]
    assert splits.provenance["changes"][-1]["kind"] == "moving"


@pytest.mark.parametrize(
    "fields", [{"data": {**DIGITS, "binarisation": "dynamic"}}, {"threshold": True}], ids=["bits", "threshold"]
)
def test_bits_stay_bits(fields: dict[str, Any]):
    splits = load(motion="both", **fields)
    assert splits.train.spec.values == "binary"
    made = frames(splits)
    assert set(made.unique().tolist()) == {0.0, 1.0}
    grey = frames(load(motion="both"))
    if "threshold" in fields:
        assert torch.equal(made, (grey > 0.5).float())


def test_pictures_are_brought_to_a_size():
    splits = load(picture=4, motion="bounce", speed=0.25, steps=2)
    made = frames(splits)
    assert (made.flatten(0, 1).flatten(1) > 0).sum(1).max() <= 25
    # the mean grey level of the picture survives
    index = torch.arange(20)
    grey = DATASETS.build(DATASETS._validate(DIGITS)).load().train.fetch(index).x.mean((1, 2, 3))
    assert (made[:, 0].sum((1, 2)) / 16 - grey).abs().max() < 0.1


def test_the_condition_comes_along():
    splits = load(data={**DIGITS, "condition": "label"})
    batch = splits.train.fetch(torch.arange(3))
    assert torch.equal(batch.condition.argmax(1), batch.y)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 8}, r"8 x 8 pixels cannot move in a frame of 8 x 8. Raise \"size\""),
        ({"size": 6, "motion": "rotate"}, "cannot move in a frame of 6"),
        ({"data": {"kind": "moving", "data": DIGITS}}, r"moves square pictures .* 'moving' have shape \(8, 1024\)"),
    ],
)
def test_what_cannot_move_is_refused(fields: dict[str, Any], message: str):
    with pytest.raises(BuildError, match=message):
        DATASETS.build(config(**fields)).spec  # noqa: B018  a property


def test_a_frame_as_large_as_the_picture_lets_it_turn():
    assert frames(load(size=16, picture=16, motion="rotate")).shape == (20, 8, 16, 16)
