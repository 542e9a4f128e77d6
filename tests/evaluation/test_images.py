from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from vaelab.errors import DataError, StorageError
from vaelab.evaluation.images import grid, save_png


def levels(path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path)))


@pytest.mark.parametrize("channels", [1, 3])
def test_every_grey_level_survives(tmp_path, channels):
    exact = torch.arange(channels * 256, dtype=torch.int64).remainder(256).reshape(channels, 16, 16).to(torch.uint8)
    path = tmp_path / "new" / "image.png"
    save_png(exact.float() / 255, path)
    read = levels(path)
    assert torch.equal(read.unsqueeze(0) if channels == 1 else read.permute(2, 0, 1), exact)
    assert [file.name for file in path.parent.iterdir()] == ["image.png"]


def test_odd_sizes_and_channels(tmp_path):
    save_png(torch.rand(3, 17, 23), tmp_path / "a.png")
    assert levels(tmp_path / "a.png").shape == (17, 23, 3)
    images = torch.rand(4, 5, 7)
    save_png(images, tmp_path / "b.png")
    assert torch.equal(levels(tmp_path / "b.png"), (torch.cat(list(images), 1) * 255).round().to(torch.uint8))


def test_values_outside_the_range_are_clipped(tmp_path):
    save_png(torch.tensor([[[-3.0, 0.0, 2.0]]]), tmp_path / "a.png")
    assert levels(tmp_path / "a.png").tolist() == [[0, 0, 255]]


def test_a_grid_of_images(tmp_path):
    images = torch.rand(5, 1, 10, 10)
    save_png(images, tmp_path / "a.png")
    assert torch.equal(levels(tmp_path / "a.png"), (grid(images)[0] * 255).round().to(torch.uint8))
    assert grid(images, columns=5).shape == (1, 10, 5 * 11 - 1)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    save_png(torch.zeros(1, 2, 2), path)
    before = path.read_bytes()

    def fail(self, file, format):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(StorageError, match="disk full"):
        save_png(torch.ones(1, 2, 2), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("shape", [(2, 2), (0, 1, 4, 4), (1, 1, 1, 4, 4)])
def test_what_is_no_image_is_refused(tmp_path, shape):
    with pytest.raises(DataError, match="axes"):
        save_png(torch.zeros(shape), tmp_path / "a.png")
