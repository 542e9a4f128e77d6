"""Grey pictures in two colours: which colours, where the picture is, and that both stay."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vaelab.errors import BuildError
from vaelab.registry import DATASETS
from vaelab.types import Split

DIGITS = {"kind": "digits", "train_limit": 40, "test_limit": 20}


def splits(**arguments: Any) -> tuple[Split, Split]:
    """Training and test."""
    config = DATASETS["coloured"].config.model_validate({"data": DIGITS, "size": 12, **arguments})
    data = DATASETS.build(config).load()
    return data.train, data.test


def test_a_picture_lies_in_the_middle_between_a_dark_and_a_bright_colour():
    train, _ = splits()
    grey = DATASETS.build(DATASETS._validate(DIGITS)).load().train
    index = torch.arange(40)
    x, g = train.fetch(index).x, grey.fetch(index).x
    assert train.spec.shape == (3, 12, 12)
    assert train.spec.values == "unit"
    assert x.shape == (40, 3, 12, 12)
    background = x[..., 0, 0]
    assert background.max() <= 0.5
    # the colour that makes grey 1, from the brightest pixel of each picture
    at = g.flatten(1).argmax(1)
    level = g.flatten(1).gather(1, at[:, None])
    inside = x[..., 2:10, 2:10].flatten(2).gather(2, at[:, None, None].expand(-1, 3, 1))[..., 0]
    foreground = background + (inside - background) / level
    assert foreground.min() > 0.49
    assert foreground.max() < 1.01
    expected = background[..., None, None] + (foreground - background)[..., None, None] * g
    torch.testing.assert_close(x[..., 2:10, 2:10], expected, atol=2 / 255, rtol=0)
    border = x.clone()
    border[..., 2:10, 2:10] = background[..., None, None]
    assert torch.equal(border, background[..., None, None].expand_as(x))


def test_values_are_grey_levels_of_a_byte():
    x = 255 * splits()[0].fetch(torch.arange(10)).x
    assert (x - x.round()).abs().max() < 1e-4


def test_colours_follow_from_seed_split_and_position():
    train, test = splits()
    index = torch.tensor([5, 1, 7])
    x = train.fetch(index).x
    assert torch.equal(x, splits()[0].fetch(index).x)
    assert torch.equal(x[1], train.fetch(torch.tensor([1])).x[0])
    (batch,) = train.batches(index, 10)
    assert torch.equal(batch.x, x)
    corners = [part.fetch(index).x[..., 0, 0] for part in (train, test, splits(seed=1)[0])]
    assert not torch.equal(corners[0], corners[1])
    assert not torch.equal(corners[0], corners[2])
    assert len(train.fetch(torch.arange(40)).x[..., 0, 0].unique(dim=0)) == 40


def test_pictures_larger_than_the_square_and_data_that_are_no_grey_pictures_are_refused():
    with pytest.raises(
        BuildError, match=r"dataset 'coloured' sets pictures of 8 x 8 pixels in a square of 7.*\"size\" to 8"
    ):
        splits(size=7)
    twice = {"kind": "coloured", "data": DIGITS, "size": 10}
    with pytest.raises(
        BuildError, match=r"dataset 'coloured' colours complete pictures.*dataset 'coloured' have shape"
    ):
        splits(data=twice)
    with pytest.raises(BuildError, match="hidden pixels"):
        splits(data={"kind": "incomplete", "data": DIGITS})
