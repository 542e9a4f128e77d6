from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vaelab.datasets.image_folder import ImageFolder, ImageFolderConfig
from vaelab.datasets.memory import MemorySplit
from vaelab.datasets.streaming import StreamingSplit
from vaelab.errors import DataError
from vaelab.types import DataSpec


def picture(level: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, level if mode in ("L", "I;16", "F") else (level, 0, 255 - level))


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Twenty pictures in two classes; the red level of picture i is 10 i and its class is i % 2."""
    folder = tmp_path / "pictures"
    for i in range(20):
        inside = folder / ("cat", "dog")[i % 2] / ("" if i < 10 else "more")
        inside.mkdir(parents=True, exist_ok=True)
        picture(10 * i).save(inside / f"{i:02}.png")
    (folder / "cat" / "notes.txt").write_text("no picture")
    return folder


def load(folder: Path, **named):
    return ImageFolder(ImageFolderConfig.model_validate({"path": str(folder), "size": 8, **named})).load()


def test_classes(classes):
    config = ImageFolderConfig(path=str(classes), size=8, validation=4, test_fraction=0.25)
    dataset = ImageFolder(config)
    assert dataset.spec == DataSpec((3, 8, 8), "unit", 2)
    splits = dataset.load()
    assert isinstance(splits.train, MemorySplit)
    assert splits.provenance["sizes"] == {"train": 11, "validation": 4, "test": 5}
    assert splits.provenance["classes"] == ["cat", "dog"]
    batches = [s.fetch(torch.arange(len(s))) for s in (splits.train, splits.validation, splits.test)]
    levels = (torch.cat([b.x[:, 0, 0, 0] for b in batches]) * 255).round().to(torch.int64)
    assert sorted(levels.tolist()) == [10 * i for i in range(20)]
    assert torch.equal(torch.cat([b.y for b in batches]), levels // 10 % 2)
    blue = torch.cat([b.x[:, 2, 0, 0] for b in batches])
    assert torch.allclose(blue, (255 - levels) / 255)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("mode", ["none", "threshold", "static"])
def test_streaming_equals_memory(classes, workers, mode):
    settings = {"binarisation": mode, "validation": 3, "size": 6}
    memory = load(classes, **settings)
    streamed = load(classes, **settings, memory_limit=0, workers=workers)
    assert isinstance(streamed.train, StreamingSplit)
    assert len(streamed.train) == len(memory.train) == 15
    order = torch.tensor([14, 2, 2, 9, 0, 7, 11])
    before = torch.get_rng_state()
    found, expected = (list(splits.train.batches(order, 3)) for splits in (streamed, memory))
    assert torch.equal(torch.get_rng_state(), before)
    assert [len(batch) for batch in found] == [3, 3, 1]
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)
    index = torch.tensor([1, 0])
    assert torch.equal(streamed.validation.fetch(index).x, memory.validation.fetch(index).x)
    assert list(streamed.train.batches(order[:0], 3)) == []


def test_streamed_dynamic_bits_come_from_the_global_generator(classes):
    split = load(classes, binarisation="dynamic", memory_limit=0, workers=1).train
    order = torch.arange(len(split))
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(torch.cat([batch.x for batch in split.batches(order, 5)]))
    assert set(drawn[0].unique().tolist()) == {0.0, 1.0}
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_streamed_batches_arrive_on_the_device(classes):
    split = load(classes, memory_limit=0, workers=0).train.to(torch.device("meta"))
    batch = next(split.batches(torch.arange(4), 2))
    assert batch.x.device.type == batch.y.device.type == "meta"


def test_the_memory_limit_is_exact(classes):
    needed = 20 * 3 * 8 * 8
    assert isinstance(load(classes, memory_limit=needed).train, MemorySplit)
    assert isinstance(load(classes, memory_limit=needed - 1).train, StreamingSplit)


def test_flat_grey_folder(tmp_path):
    for i in range(5):
        picture(50 * i, mode="L").save(tmp_path / f"{i}.png")
    dataset = ImageFolder(ImageFolderConfig(path=str(tmp_path), size=8, channels=1))
    assert dataset.spec == DataSpec((1, 8, 8), "unit", None)
    batch = dataset.load().train.fetch(torch.arange(4))
    assert batch.y is None
    assert set((batch.x * 255).round().flatten().tolist()) <= {0, 50, 100, 150, 200}


def test_a_separate_test_folder(classes, tmp_path):
    other = tmp_path / "test"
    (other / "dog").mkdir(parents=True)
    picture(77).save(other / "dog" / "a.png")
    splits = load(classes, test_path=str(other))
    assert splits.provenance["sizes"] == {"train": 20, "validation": 0, "test": 1}
    assert splits.test.fetch(torch.tensor([0])).y.tolist() == [1]  # as in the training folder, not the first here
    (other / "bird").mkdir()
    with pytest.raises(DataError, match="'bird'"):
        load(classes, test_path=str(other))


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\nnonsense", b"plain text"])
@pytest.mark.parametrize("where", [{}, {"memory_limit": 0, "workers": 0}, {"memory_limit": 0, "workers": 2}])
def test_a_corrupt_picture_among_good_ones_is_named(classes, content, where):
    (classes / "dog" / "05.png").write_bytes(content)

    def read_all() -> None:
        splits = load(classes, **where)
        for split in (splits.train, splits.test):
            list(split.batches(torch.arange(len(split)), 4))

    with pytest.raises(DataError, match=r"05\.png is no picture") as caught:
        read_all()
    assert "Traceback" not in str(caught.value)


def test_a_truncated_picture_is_named(classes):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = classes / "cat" / "00.png"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"00\.png"):
        load(classes)


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_deep_pictures_are_refused(tmp_path, mode):
    picture(200, mode=mode).save(tmp_path / ("deep.tif" if mode == "F" else "deep.png"))
    picture(1).save(tmp_path / "good.png")
    with pytest.raises(DataError, match="more than 8 bits"):
        load(tmp_path)


def test_cropping_and_stretching(tmp_path):
    wide = np.zeros((4, 12), np.uint8)
    wide[:, 4:8] = 255  # white in the middle third
    for name in ("a.png", "b.png"):
        Image.fromarray(wide).save(tmp_path / name)
    cropped, stretched = (
        load(tmp_path, size=[4, 4], channels=1, fit=fit).train.fetch(torch.tensor([0])).x for fit in ("crop", "stretch")
    )
    assert torch.equal(cropped, torch.ones(1, 1, 4, 4))
    assert 0.2 < float(stretched.mean()) < 0.5


def test_height_and_width(tmp_path):
    for name in ("a.png", "b.png"):
        picture(9, (10, 20)).save(tmp_path / name)
    assert load(tmp_path, size=[6, 3]).train.fetch(torch.tensor([0])).x.shape == (1, 3, 6, 3)


def test_folders_without_pictures_and_mixed_folders(classes, tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "none")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        load(empty)
    (empty / "class").mkdir()
    with pytest.raises(DataError, match="hold no pictures"):
        load(empty)
    picture(1).save(classes / "loose.png")
    with pytest.raises(DataError, match=r"loose\.png"):
        load(classes)


def test_the_checksum_sees_contents(classes):
    first, again = (load(classes).provenance["files"][str(classes)] for _ in range(2))
    assert first == again
    path = classes / "dog" / "01.png"
    path.write_bytes(path.read_bytes() + b"\0")
    assert load(classes).provenance["files"][str(classes)] != first


def test_a_model_can_be_built_before_the_folder_exists():
    assert ImageFolder(ImageFolderConfig.example()).spec == DataSpec((3, 16, 16), "unit", None)
