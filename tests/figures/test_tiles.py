from __future__ import annotations

import torch

from vaelab.figures.tiles import as_picture, in_rows, mosaic


def test_channels_that_are_no_colours_stand_side_by_side():
    image = torch.rand(4, 5, 7)
    assert torch.equal(as_picture(image)[0], torch.cat(list(image), 1))
    assert as_picture(image[:2]).shape == (1, 5, 14)
    assert as_picture(image[:3]).shape == (3, 5, 7)


def test_every_image_has_its_place_on_white():
    images = torch.rand(5, 3, 17, 23) * 0.9
    sheet = mosaic(in_rows(images, 2), gap=2)
    assert sheet.shape == (3, 3 * 19 - 2, 2 * 25 - 2)
    for i, image in enumerate(images):
        top, left = (i // 2) * 19, (i % 2) * 25
        assert torch.equal(sheet[:, top : top + 17, left : left + 23], image)
    assert (sheet[:, 17:19] == 1).all()
    assert (sheet[:, 38:, 25:] == 1).all()  # the place of the sixth


def test_values_outside_the_range_are_clipped():
    assert mosaic([[torch.tensor([[[-1.0, 0.5, 3.0]]])]]).flatten().tolist() == [0.0, 0.5, 1.0]


def test_rows_are_as_square_as_can_be():
    assert [len(row) for row in in_rows(torch.zeros(7, 1, 2, 2))] == [3, 3, 1]
