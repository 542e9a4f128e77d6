"""Damaged data: what is read is in range, or is refused with the name of the file and a remedy."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save as save_safetensors

from fuzz.damage import damaged_folder, write
from fuzz.outcomes import attempt, fuzz
from vaelab import limits
from vaelab.datasets import dsprites, pictures, shapes3d, smallnorb
from vaelab.errors import DataError, VaelabError
from vaelab.registry import DATASETS
from vaelab.types import Split

RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 256, (12, 6, 6), dtype=np.uint8)
Y = np.arange(12) % 3


@pytest.fixture(autouse=True)
def _nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VAELAB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(limits, "memory", lambda: 2**27)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=array.dtype == object)
    return stream.getvalue()


def npz(compressed: bool, **arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def png(size: tuple[int, int] = (7, 5), mode: str = "RGB", kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8)).convert(mode).save(stream, kind)
    return stream.getvalue()


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.asarray(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def mnist(packed: bool) -> dict[str, bytes]:
    files = {}
    for part, number in (("train", 9), ("t10k", 4)):
        arrays = {"images-idx3": RANDOM.integers(0, 256, (number, 28, 28)), "labels-idx1": np.arange(number)}
        for name, array in arrays.items():
            content = idx(array)
            path = f"MNIST/raw/{part}-{name}-ubyte" + (".gz" if packed else "")
            files[path] = gzip.compress(content, 1) if packed else content
    return files


def cifar(packed: bool) -> dict[str, bytes]:
    names = [
        f"cifar-10-batches-bin/{name}" for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
    ]
    records = {name: bytes([i]) + RANDOM.bytes(3072) for i, name in enumerate(names)}
    if not packed:
        return records
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in records.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return {"cifar-10-binary.tar.gz": stream.getvalue()}


def omniglot() -> dict[str, bytes]:
    files = {}
    for part in ("images_background", "images_evaluation"):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for i in range(4):
                archive.writestr(f"{part}/Greek/character{i:02d}/{i}_01.png", png(mode="L"))
        files[f"omniglot-py/{part}.zip"] = stream.getvalue()
    return files


def norb() -> dict[str, bytes]:
    kinds = {"dat": (0x1E3D4C55, np.zeros((2, 2, 96, 96), np.uint8)), "cat": (0x1E3D4C54, np.zeros(2, "<i4")),
             "info": (0x1E3D4C54, np.zeros((2, 4), "<i4"))}  # fmt: skip
    files = {}
    for part in smallnorb.PARTS:
        for name, (magic, array) in kinds.items():
            lengths = [*array.shape, 1, 1][: max(3, array.ndim)]
            header = np.asarray([magic, array.ndim, *lengths], "<i4").tobytes()
            files[f"{part}-{name}.mat.gz"] = gzip.compress(header + array.tobytes())
    return files


FOLDER = {f"{name}/{i}.png": png() for name in ("ants", "bees") for i in range(4)} | {
    "bees/photo.jpg": png(kind="JPEG")
}
SETS: dict[str, tuple[Mapping[str, bytes], dict[str, Any]]] = {
    "npz": ({"a.npz": npz(True, x=X, y=Y)}, {"kind": "arrays", "path": "a.npz", "num_classes": 3}),
    "npz stored": ({"a.npz": npz(False, x=X, y=Y)}, {"kind": "arrays", "path": "a.npz", "num_classes": 3}),
    "npy": ({"a.npy": npy(X / 255)}, {"kind": "arrays", "path": "a.npy"}),
    "safetensors": ({"a.safetensors": save_safetensors({"x": X, "y": Y})}, {"kind": "arrays", "path": "a.safetensors"}),
    "test file": (
        {"a.npz": npz(True, x=X, y=Y), "b.npz": npz(True, x=X, y=Y)},
        {"kind": "arrays", "path": "a.npz", "test_path": "b.npz", "num_classes": 3, "condition": "label"},
    ),
    "idx": (mnist(False), {"kind": "mnist", "root": "."}),
    "idx.gz": (mnist(True), {"kind": "mnist", "root": ".", "binarisation": "static"}),
    "folder": (FOLDER, {"kind": "image_folder", "path": ".", "size": 8}),
    "streamed": (FOLDER, {"kind": "image_folder", "path": ".", "size": 8, "memory_limit": 0, "workers": 0}),
    "cifar": (cifar(False), {"kind": "cifar10", "root": "."}),
    "cifar.tar.gz": (cifar(True), {"kind": "cifar10", "root": "."}),
    "omniglot": (omniglot(), {"kind": "omniglot", "root": ".", "size": 8}),
    "smallnorb": (norb(), {"kind": "smallnorb", "root": "."}),
    "dsprites": (
        {dsprites.FILE: npz(True, imgs=np.zeros((2, 64, 64), np.uint8), latents_classes=np.zeros((2, 6), np.int64))},
        {"kind": "dsprites", "root": "."},
    ),
    "shapes3d": ({shapes3d.PLAIN: npy(np.zeros((2, 64, 64, 3), np.uint8))}, {"kind": "shapes3d", "root": "."}),
}


def read(content: Mapping[str, Any]) -> None:
    """Load a data set, and look at every datum."""
    dataset = DATASETS.build(DATASETS[content["kind"]].config.model_validate(content))
    spec = dataset.spec
    data = dataset.load()
    splits: list[Split] = [data.train, data.test]
    for split in splits:
        for batch in split.batches(torch.arange(len(split)), 8):
            assert batch.x.shape[1:] == spec.shape
            assert bool(((batch.x >= 0) & (batch.x <= 1)).all()), "grey levels"
            if batch.y is not None and spec.num_classes is not None:
                assert int(batch.y.min()) >= 0
                assert int(batch.y.max()) < spec.num_classes


def loaded(name: str, files: Mapping[str, bytes]) -> VaelabError | None:
    _, content = SETS[name]
    with tempfile.TemporaryDirectory() as folder:
        write(files, Path(folder))
        places = {key: f"{folder}/{content[key]}" for key in ("path", "test_path", "root") if key in content}
        return attempt(lambda: read({**content, **places}))


@pytest.mark.parametrize("name", SETS)
def test_the_intact_files(name: str) -> None:
    error = loaded(name, SETS[name][0])
    # a few rows of a large published file are no intact file
    assert (error is None) == (name not in ("smallnorb", "dsprites", "shapes3d")), error


CASES = st.sampled_from(sorted(SETS)).flatmap(lambda name: st.tuples(st.just(name), damaged_folder(SETS[name][0])))


@fuzz(60, 20_000, case=CASES)
def test_damaged_files(case: tuple[str, dict[str, bytes]]) -> None:
    name, files = case
    error = loaded(name, files)
    # 2: a label or a shape that the file no longer offers
    assert error is None or error.exit_code in (2, 3)


def refused(tmp_path: Path, files: Mapping[str, bytes], *words: str, **content: Any) -> None:
    write(files, tmp_path)
    error = attempt(lambda: read(content))
    assert isinstance(error, DataError)
    for word in words:
        assert word in str(error), str(error)


def bomb(shape: tuple[int, ...]) -> bytes:
    """An archive with an array whose header promises a shape, and a hundred thousand zeros."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        archive.writestr("x.npy", header.getvalue() + bytes(100_000))
    return stream.getvalue()


@pytest.mark.parametrize("shape", [(2**40, 1), (10**6, 1000), (2**62, 2**62), (10**5, 10)])
def test_an_archive_that_promises_too_much(tmp_path: Path, shape: tuple[int, ...]) -> None:
    refused(tmp_path, {"a.npz": bomb(shape)}, "a.npz", kind="arrays", path=str(tmp_path / "a.npz"))


@pytest.mark.parametrize("kind", ["arrays", "shapes3d"])
def test_a_header_whose_brackets_stay_open(tmp_path: Path, kind: str) -> None:
    whole = npy(np.zeros((3, 4), np.float32))
    files = {"x.npy": whole.replace(b")", b" ", 1), "3dshapes.npy": whole.replace(b")", b" ", 1)}
    key = {"path": str(tmp_path / "x.npy")} if kind == "arrays" else {"root": str(tmp_path)}
    refused(tmp_path, files, "cannot be read", kind=kind, **key)


def test_a_gzip_bomb(tmp_path: Path) -> None:
    files = mnist(True)
    header = bytes([0, 0, 8, 3]) + np.asarray((2**20, 28, 28), ">u4").tobytes()
    packer = zlib.compressobj(9, wbits=31)
    files["MNIST/raw/train-images-idx3-ubyte.gz"] = packer.compress(header + bytes(2**20)) + packer.flush()
    refused(tmp_path, files, "train-images", "1048576 x 28 x 28", kind="mnist", root=str(tmp_path))


def test_members_of_archives_that_unpack_to_too_much(tmp_path: Path) -> None:
    files = omniglot()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images_background/Greek/a/1.png", bytes(2**22))
    refused(
        tmp_path, {**files, "omniglot-py/images_background.zip": stream.getvalue()}, "unpacks to more than", kind="omniglot",
        root=str(tmp_path),
    )  # fmt: skip


def test_a_picture_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1000)
    files = {"a.png": png(), "b.png": png(size=(50, 50)), "c.png": png()}
    refused(tmp_path, files, "b.png", "50 x 50 pixels", kind="image_folder", path=str(tmp_path), size=8)


def test_a_corrupt_picture_among_good_ones(tmp_path: Path) -> None:
    files = {"a.png": png(), "b.png": png()[:40], "c.png": png()}
    refused(tmp_path, files, "b.png", kind="image_folder", path=str(tmp_path), size=8)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((4, 6, 6), np.nan, np.float32), "not finite"),
        (np.full((4, 6, 6), 2.0, np.float32), "grey levels lie in"),
        (np.zeros((0, 6, 6), np.uint8), "shape"),
        (np.zeros(6, np.uint8), "shape"),
        (np.array([{"a": 1}, None]), "unpickled"),
        (np.array(["a", "b"]), "type"),
        (np.zeros((4, 6, 6), np.complex64), "type"),
    ],
)
def test_arrays_of_the_wrong_kind(tmp_path: Path, array: np.ndarray, words: str) -> None:
    refused(tmp_path, {"a.npy": npy(array)}, "a.npy", words, kind="arrays", path=str(tmp_path / "a.npy"))


@pytest.mark.parametrize("labels", [np.array([-1] * 12), np.array([7] * 12), np.full(12, 0.5), np.zeros(5, int)])
def test_labels_out_of_range(tmp_path: Path, labels: np.ndarray) -> None:
    files = {"a.npz": npz(False, x=X, y=labels)}
    refused(tmp_path, files, "labels 'y'", kind="arrays", path=str(tmp_path / "a.npz"), num_classes=3)


def test_an_empty_folder(tmp_path: Path) -> None:
    refused(tmp_path, {}, "no pictures", kind="image_folder", path=str(tmp_path), size=8)


@pytest.mark.parametrize("kind", ["arrays", "image_folder", "mnist", "omniglot", "smallnorb", "dsprites", "shapes3d"])
@pytest.mark.parametrize(
    "place", ["~nobody-of-that-name/a.npz", "/dev/null/a.npz", "a.npz/b", "💥.npz", "/proc/self/mem", "."]
)
def test_places_that_hold_no_data(kind: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vaelab.datasets.download._reachable", lambda urls: set())
    key = "path" if kind in ("arrays", "image_folder") else "root"
    more = {"size": 8} if kind == "image_folder" else {}
    assert attempt(lambda: read({"kind": kind, key: place, **more})) is not None
