"""Data sets with known factors that are read from their published files."""

from __future__ import annotations

import gzip
import itertools
import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vaelab.datasets import dsprites, shapes3d, smallnorb
from vaelab.datasets.factor_grid import FactorGrid
from vaelab.datasets.locate import MissingDataError
from vaelab.errors import DataError
from vaelab.types import Factor

PUBLISHED = [len(module.GRID) for module in (dsprites, shapes3d, smallnorb)]


def grid_of(**sizes):
    return FactorGrid(tuple(Factor(name, size) for name, size in sizes.items()))


def whole(split):
    return split.fetch(torch.arange(len(split)))


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Grids of the published names and fewer values, so that the files are small."""
    monkeypatch.setattr(dsprites, "GRID", grid_of(shape=3, scale=2, orientation=2, x=3, y=2))
    monkeypatch.setattr(
        shapes3d, "GRID", grid_of(floor_hue=2, wall_hue=2, object_hue=2, scale=2, shape=3, orientation=2)
    )
    monkeypatch.setattr(smallnorb, "GRID", grid_of(category=2, instance=10, elevation=2, azimuth=3, lighting=2))


def write_dsprites(folder, order=None, number=72):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (number, 64, 64), dtype=np.uint8)
    classes = np.array([(0, *c) for c in itertools.product(range(3), range(2), range(2), range(3), range(2))])
    if order is not None:
        classes = classes[order]
    # the published file holds a pickle too, which is not touched
    metadata = np.array({"title": "dSprites"}, dtype=object)
    np.savez_compressed(folder / dsprites.FILE, metadata=metadata, imgs=images, latents_classes=classes)
    return images, classes[:, 1:]


def test_dsprites(tmp_path):
    images, classes = write_dsprites(tmp_path)
    dataset = dsprites.DSprites(dsprites.DSpritesConfig(root=str(tmp_path)))
    assert (dataset.spec.shape, dataset.spec.values, dataset.spec.num_classes) == ((1, 64, 64), "binary", 3)
    splits = dataset.load()
    for split in (splits.train, splits.test):
        batch = whole(split)
        rows = dsprites.GRID.rows(batch.factors)
        assert torch.equal(batch.x[:, 0], torch.from_numpy(images)[rows].float())
        assert torch.equal(batch.factors, torch.from_numpy(classes)[rows])
        assert torch.equal(batch.y, batch.factors[:, 0])
    assert (len(splits.train), len(splits.test)) == (65, 7)
    assert list(splits.provenance["files"]) == [dsprites.FILE]


def test_dsprites_in_another_order_or_cut_off(tmp_path):
    config = dsprites.DSpritesConfig(root=str(tmp_path))
    write_dsprites(tmp_path, order=np.arange(72)[::-1])
    with pytest.raises(DataError, match="not in the order of their factors"):
        dsprites.DSprites(config).load()
    write_dsprites(tmp_path, number=60)
    with pytest.raises(DataError, match="there are not 72 pictures"):
        dsprites.DSprites(config).load()
    path = tmp_path / dsprites.FILE
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="cannot be read"):
        dsprites.DSprites(config).load()


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (96, 64, 64, 3), dtype=np.uint8)


def fake_hdf5(contents):
    """Stands for the package h5py, which vaelab does not depend on."""

    class File(dict):
        def __init__(self, path, mode):
            assert mode == "r"
            super().__init__(contents)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    return SimpleNamespace(File=File)


@pytest.mark.parametrize("file", [shapes3d.PLAIN, shapes3d.PUBLISHED])
def test_shapes3d(tmp_path, monkeypatch, pictures, file):
    if file == shapes3d.PLAIN:
        np.save(tmp_path / file, pictures)
    else:
        (tmp_path / file).write_bytes(b"hdf5")
        monkeypatch.setitem(sys.modules, "h5py", fake_hdf5({"images": pictures}))
    dataset = shapes3d.Shapes3D(shapes3d.Shapes3DConfig(root=str(tmp_path), held_out={"shape": (1,)}))
    assert (dataset.spec.shape, dataset.spec.values, dataset.spec.num_classes) == ((3, 64, 64), "unit", 3)
    splits = dataset.load()
    batch = whole(splits.test)
    assert (batch.factors[:, 4] == 1).all()
    assert len(batch) == 32
    expected = torch.from_numpy(pictures)[shapes3d.GRID.rows(batch.factors)].permute(0, 3, 1, 2) / 255
    assert torch.equal(batch.x, expected)
    moved = splits.test.to(torch.device("cpu"))
    assert torch.equal(whole(moved).x, batch.x)


def test_shapes3d_that_cannot_be_read(tmp_path, monkeypatch, pictures):
    dataset = shapes3d.Shapes3D(shapes3d.Shapes3DConfig(root=str(tmp_path)))
    (tmp_path / shapes3d.PUBLISHED).write_bytes(b"hdf5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match="pip install h5py"):
        dataset.load()
    monkeypatch.setitem(sys.modules, "h5py", fake_hdf5({"labels": pictures}))
    with pytest.raises(DataError, match="cannot be read"):
        dataset.load()
    np.save(tmp_path / shapes3d.PLAIN, pictures[:50])
    with pytest.raises(DataError, match=r"shape \(50, 64, 64, 3\), and not 96 pictures"):
        dataset.load()


def matrix(array, kind):
    lengths = [*array.shape, *[1] * (3 - array.ndim)]
    head = struct.pack(f"<{2 + len(lengths)}i", kind, array.ndim, *lengths)
    return head + array.tobytes()


def write_norb(folder, drop=0, zipped=False):
    rng = np.random.default_rng(0)
    stored = {}
    for part, instances in zip(smallnorb.PARTS, ((4, 6, 7, 8, 9), (0, 1, 2, 3, 5)), strict=True):
        combinations = np.array(list(itertools.product(range(2), instances, range(2), range(3), range(2))))
        combinations = combinations[rng.permutation(len(combinations))][drop:]
        images = rng.integers(0, 256, (len(combinations), 2, 96, 96), dtype=np.uint8)
        info = (combinations[:, 1:] * [1, 1, 2, 1]).astype("<i4")
        contents = {
            "dat": matrix(images, 0x1E3D4C55),
            "cat": matrix(combinations[:, 0].astype("<i4"), 0x1E3D4C54),
            "info": matrix(info, 0x1E3D4C54),
        }
        for name, content in contents.items():
            path = folder / f"{part}-{name}.mat"
            if zipped and name != "info":
                path.with_suffix(".mat.gz").write_bytes(gzip.compress(content))
            else:
                path.write_bytes(content)
        stored |= {tuple(c): image[0] for c, image in zip(combinations.tolist(), images, strict=True)}
    return stored


@pytest.mark.parametrize("zipped", [False, True])
def test_smallnorb(tmp_path, zipped):
    stored = write_norb(tmp_path, zipped=zipped)
    dataset = smallnorb.SmallNorb(smallnorb.SmallNorbConfig(root=str(tmp_path), size=96))
    assert (dataset.spec.shape, dataset.spec.num_classes) == ((1, 96, 96), 2)
    splits = dataset.load()
    assert set(splits.test.factors[:, 1].tolist()) == {0, 1, 2, 3, 5}
    assert set(splits.train.factors[:, 1].tolist()) == {4, 6, 7, 8, 9}
    for split in (splits.train, splits.test):
        batch = whole(split)
        assert torch.equal(batch.y, batch.factors[:, 0])
        expected = np.stack([stored[tuple(c)] for c in batch.factors.tolist()])
        assert torch.equal(batch.x[:, 0], torch.from_numpy(expected) / 255)
    assert len(splits.provenance["files"]) == 6
    # half the size: the level of a large patch stays
    small = smallnorb.SmallNorb(smallnorb.SmallNorbConfig(root=str(tmp_path), size=48, held_out=None)).load()
    batch = whole(small.test)
    expected = np.stack([stored[tuple(c)] for c in batch.factors.tolist()])
    assert batch.x.shape[1:] == (1, 48, 48)
    assert batch.x.mean((1, 2, 3)).numpy() == pytest.approx(expected.mean((1, 2)) / 255, abs=0.01)


def test_smallnorb_that_is_damaged(tmp_path):
    dataset = smallnorb.SmallNorb(smallnorb.SmallNorbConfig(root=str(tmp_path)))
    write_norb(tmp_path, drop=3)
    with pytest.raises(DataError, match="6 combinations are missing"):
        dataset.load()
    path = tmp_path / f"{smallnorb.PARTS[0]}-info.mat"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"info.mat cannot be read"):
        dataset.load()


@pytest.mark.parametrize(
    ("dataset", "file"),
    [
        (dsprites.DSprites(dsprites.DSpritesConfig()), dsprites.FILE),
        (shapes3d.Shapes3D(shapes3d.Shapes3DConfig()), shapes3d.PUBLISHED),
        (smallnorb.SmallNorb(smallnorb.SmallNorbConfig()), smallnorb.PARTS[0]),
    ],
    ids=lambda value: getattr(getattr(value, "config", None), "kind", ""),
)
def test_missing_files_are_named_with_their_page(nowhere, dataset, file):
    with pytest.raises(MissingDataError, match=r"vaelab does not download it; get it from https://") as error:
        dataset.load()
    assert file in str(error.value)


def test_the_published_grids():
    assert PUBLISHED == [737_280, 480_000, 48_600]
