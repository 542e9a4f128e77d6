from __future__ import annotations

import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from vaelab.datasets import array_files
from vaelab.datasets.arrays import Arrays, ArraysConfig
from vaelab.errors import BuildError, DataError
from vaelab.types import DataSpec

BYTES = np.random.default_rng(0).integers(0, 256, (40, 6, 5), dtype=np.uint8)
LABELS = np.arange(40) % 4


def save(path: Path, **arrays: np.ndarray) -> str:
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".npy":
        np.save(path, arrays["x"])
    else:
        save_file(arrays, path)
    return str(path)


def all_data(splits) -> tuple[torch.Tensor, torch.Tensor]:
    batches = [s.fetch(torch.arange(len(s))) for s in (splits.train, splits.validation, splits.test) if s]
    return torch.cat([b.x for b in batches]), torch.cat([b.y for b in batches])


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_pictures_with_labels(tmp_path, suffix):
    path = save(tmp_path / f"data{suffix}", x=BYTES, y=LABELS)
    dataset = Arrays(ArraysConfig(path=path, validation=5, test_fraction=0.25, num_classes=4))
    assert dataset.spec == DataSpec((1, 6, 5), "unit", 4)
    splits = dataset.load()
    assert splits.provenance["sizes"] == {"train": 25, "validation": 5, "test": 10}
    x, y = all_data(splits)
    # each datum is there once, in its scale and with its own label
    for picture, label in zip(x, y, strict=True):
        (found,) = np.flatnonzero((np.round(picture[0].numpy() * 255) == BYTES).all(axis=(1, 2)))
        assert label == LABELS[found]
    assert len(x.flatten(1).unique(dim=0)) == 40
    assert len(splits.provenance["files"][path]) == 64


def test_a_npy_file_and_its_seed(tmp_path):
    path = save(tmp_path / "data.npy", x=BYTES)
    first, again, other = (
        Arrays(ArraysConfig(path=path, split_seed=seed)).load().train.fetch(torch.arange(36)) for seed in (0, 0, 1)
    )
    assert first.y is None
    assert torch.equal(first.x, again.x)
    assert not torch.equal(first.x, other.x)


def test_the_header_is_enough_for_the_specification(tmp_path, monkeypatch):
    paths = [save(tmp_path / f"data{suffix}", x=BYTES) for suffix in (".npz", ".npy", ".safetensors")]

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("data were read")

    monkeypatch.setattr(np, "load", refuse)
    monkeypatch.setattr("vaelab.datasets.array_files.read", refuse)
    for path in paths:
        assert Arrays(ArraysConfig(path=path)).spec.shape == (1, 6, 5)


@pytest.mark.parametrize(
    ("stored", "layout", "shape"),
    [
        ((7,), "auto", (7,)),
        ((6, 5), "auto", (1, 6, 5)),
        ((6, 5), "as_is", (6, 5)),
        ((3, 6, 5), "auto", (3, 6, 5)),
        ((6, 5, 3), "hwc", (3, 6, 5)),
        ((6, 5, 3), "as_is", (6, 5, 3)),
    ],
)
def test_layouts(tmp_path, stored, layout, shape):
    array = np.random.default_rng(0).random((10, *stored), dtype=np.float32)
    path = save(tmp_path / "data.npy", x=array)
    dataset = Arrays(ArraysConfig(path=path, layout=layout))
    assert dataset.spec.shape == shape
    x = dataset.load().train.fetch(torch.arange(9)).x
    expected = np.moveaxis(array, -1, 1) if layout == "hwc" else array
    flat = expected.reshape(10, -1)
    assert x.shape[1:] == shape
    assert all((flat == datum.flatten().numpy()).all(1).any() for datum in x)


@pytest.mark.parametrize(("stored", "layout"), [((6, 5, 3), "auto"), ((6, 5, 3), "hw"), ((6, 5), "hwc")])
def test_layouts_that_do_not_fit(tmp_path, stored, layout):
    path = save(tmp_path / "data.npy", x=np.zeros((10, *stored), np.uint8))
    with pytest.raises(DataError, match="layout"):
        _ = Arrays(ArraysConfig(path=path, layout=layout)).spec


@pytest.mark.parametrize(
    ("array", "values", "read_as"),
    [
        (np.eye(10, dtype=bool), None, "binary"),
        (np.eye(10, dtype=np.int64), "binary", "binary"),
        (np.eye(10, dtype=np.uint8), "binary", "binary"),
        (np.eye(10, dtype=">f8"), None, "unit"),
        (np.eye(10, dtype=np.float16) * 3 - 1, "real", "real"),
        (np.eye(10, dtype=np.uint8) * 200, "real", "real"),
        (np.eye(10, dtype=np.uint16) * 60_000, "real", "real"),
    ],
)
def test_values(tmp_path, array, values, read_as):
    path = save(tmp_path / "data.npz", x=array)
    dataset = Arrays(ArraysConfig(path=path, values=values))
    assert dataset.spec.values == read_as
    x = dataset.load().train.fetch(torch.arange(9)).x
    assert x.dtype == torch.float32
    assert set(x.unique().tolist()) == set(np.unique(array).astype(float).tolist())


@pytest.mark.parametrize(
    ("change", "values", "message"),
    [
        (np.nan, None, "not finite.* datum 3"),
        (np.inf, "real", "not finite.* datum 3"),
        (1e300, "real", "not finite.* datum 3"),
        (1.01, None, r'0 to 1\.01.*"values": "real"'),
        (-0.5, "unit", r"-0\.5 to"),
        (0.5, "binary", "other than 0 and 1"),
    ],
)
def test_numbers_that_are_refused(tmp_path, change, values, message):
    array = np.zeros((10, 4))
    array[3, 2] = change
    with pytest.raises(DataError, match=message):
        Arrays(ArraysConfig(path=save(tmp_path / "data.npy", x=array), values=values)).load()


def test_bytes_that_look_like_bits_are_warned_of(tmp_path, caplog):
    path = save(tmp_path / "data.npy", x=np.eye(10, dtype=np.uint8))
    with caplog.at_level(logging.WARNING, logger="vaelab"):
        Arrays(ArraysConfig(path=path)).load()
    assert '"binary"' in caplog.text


def test_real_numbers_are_not_binarised(tmp_path):
    path = save(tmp_path / "data.npy", x=np.zeros((10, 4)))
    with pytest.raises(BuildError, match="real numbers"):
        _ = Arrays(ArraysConfig(path=path, values="real", binarisation="static")).spec
    assert Arrays(ArraysConfig(path=path, binarisation="static")).spec.values == "binary"


def test_a_test_part_in_the_same_file_or_another(tmp_path):
    here = save(tmp_path / "a.npz", x=BYTES[:30], y=LABELS[:30], xt=BYTES[30:], yt=LABELS[30:])
    there = save(tmp_path / "b.npz", x=BYTES[30:], y=LABELS[30:])
    for config in (
        ArraysConfig(path=here, x_test="xt", y_test="yt"),
        ArraysConfig(path=here, test_path=there),
    ):
        splits = Arrays(config).load()
        assert splits.provenance["sizes"] == {"train": 30, "validation": 0, "test": 10}
        test = splits.test.fetch(torch.arange(10))
        assert torch.equal(test.x[:, 0], torch.from_numpy(BYTES[30:]).float() / 255)
        assert test.y.tolist() == LABELS[30:].tolist()
    assert len(splits.provenance["files"]) == 2


def test_a_test_part_of_another_shape_is_refused(tmp_path):
    path = save(tmp_path / "a.npz", x=BYTES, xt=BYTES[:, :5])
    with pytest.raises(DataError, match=r"\(1, 5, 5\), and \(1, 6, 5\)"):
        Arrays(ArraysConfig(path=path, x_test="xt")).load()


def test_a_declared_shape_needs_no_file_and_is_checked_against_it(tmp_path):
    assert Arrays(ArraysConfig.example()).spec == DataSpec((1, 8, 8), "unit")
    path = save(tmp_path / "data.npz", x=BYTES, bits=BYTES > 127)
    with pytest.raises(DataError, match=r"\(1, 8, 8\) was expected"):
        Arrays(ArraysConfig(path=path, shape=(1, 8, 8))).load()
    assert len(Arrays(ArraysConfig(path=path, shape=(1, 6, 5))).load().train) == 36
    bits = Arrays(ArraysConfig(path=path, x="bits", shape=(1, 6, 5))).load().train
    assert bits.fetch(torch.arange(36)).x.unique().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(39), r"\(39,\), and there are 40"),
        (np.zeros((40, 2), int), r"\(40, 2\)"),
        (np.full(40, 0.5), "whole numbers"),
        (np.full(40, -1), "from -1"),
        (np.full(40, 4), "to 4; they must"),
    ],
)
def test_labels_that_are_refused(tmp_path, labels, message):
    path = save(tmp_path / "data.npz", x=BYTES, y=labels)
    with pytest.raises(DataError, match=message):
        Arrays(ArraysConfig(path=path, num_classes=4)).load()


def test_missing_files_and_arrays(tmp_path):
    path = save(tmp_path / "data.npz", x=BYTES)
    for config, message in (
        ({"path": str(tmp_path / "none.npz")}, "does not exist"),
        ({"path": str(tmp_path / "none.csv")}, "are read from .npy"),
        ({"path": path, "x": "z"}, "no array 'z'. It holds: x"),
        ({"path": path, "y": "labels"}, "no array 'labels'"),
    ):
        with pytest.raises(DataError, match=message):
            Arrays(ArraysConfig.model_validate(config)).load()
    assert Arrays(ArraysConfig(path=path)).load().train.fetch(torch.tensor([0])).y is None


class _Payload:
    """Unpickling this creates a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.path, "w")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickled_objects_are_refused_and_not_run(tmp_path, suffix, monkeypatch):
    trace = tmp_path / "ran"
    array = np.empty((2, 2), dtype=object)
    array.fill(_Payload(str(trace)))
    path = save(tmp_path / f"data{suffix}", x=array)
    for config in (ArraysConfig(path=path), ArraysConfig(path=path, shape=(2,))):
        with pytest.raises(DataError, match="unpickled"):
            Arrays(config).load()
    # not even when the header hides what follows
    monkeypatch.setattr(array_files, "header", lambda *arguments: array_files.Header((2, 2), "float"))
    with pytest.raises(DataError, match="allow_pickle"):
        array_files.read(Path(path), "x")
    assert not trace.exists()
    # the payload would have run
    np.load(path, allow_pickle=True)["x" if suffix == ".npz" else ...]
    assert trace.exists()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_damaged_files_are_named(tmp_path, suffix):
    path = Path(save(tmp_path / f"data{suffix}", x=BYTES))
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"nonsense" * 20, pickle.dumps([1, 2, 3])):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=f"data{suffix} cannot be read"):
            Arrays(ArraysConfig(path=str(path))).load()


def test_numbers_in_no_known_type_are_refused(tmp_path):
    for array in (np.zeros((3, 2), complex), np.full((3, 2), "a"), np.zeros((3, 2), "M8[s]")):
        with pytest.raises(DataError, match="has the type"):
            Arrays(ArraysConfig(path=save(tmp_path / "data.npy", x=array))).load()


def test_an_array_without_data_is_refused(tmp_path):
    for shape in ((0, 3), (5,)):
        with pytest.raises(DataError, match="expected N data"):
            Arrays(ArraysConfig(path=save(tmp_path / "data.npy", x=np.zeros(shape)), layout="as_is")).load()
