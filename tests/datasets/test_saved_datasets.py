"""Folders of `save_to_disk`. Those in `saved/` were written by the library `datasets`, version 5.2, which is not needed here."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vaelab.datasets.huggingface import HuggingFace, HuggingFaceConfig
from vaelab.datasets.streaming import StreamingSplit
from vaelab.errors import DataError
from vaelab.types import DataSplits

pa = pytest.importorskip("pyarrow", reason="the extra 'arrow' is not installed")

SAVED = Path(__file__).parent / "saved"
#: What was saved, in its order: pictures of 6 x 8, drawn by numpy's generator with seed 0, and labels in turn.
_RNG = np.random.default_rng(0)
PICTURES = [_RNG.integers(0, 255, (6, 8, 3), dtype=np.uint8) for _ in range(16)]


def load(folder: Path, **keys: Any) -> DataSplits:
    return HuggingFace(HuggingFaceConfig.model_validate({"path": str(folder), **keys})).load()


def rows_of(splits: DataSplits) -> tuple[torch.Tensor, torch.Tensor]:
    batch = splits.train.fetch(torch.arange(len(splits.train)))
    assert batch.y is not None
    return batch.x, batch.y


def test_pictures_and_classes_are_those_that_were_saved() -> None:
    keys = {"size": [6, 8], "test_path": str(SAVED / "pictures" / "test")}
    dataset = HuggingFace(HuggingFaceConfig.model_validate({"path": str(SAVED / "pictures" / "train"), **keys}))
    assert (dataset.spec.shape, dataset.spec.values, dataset.spec.num_classes) == ((3, 6, 8), "unit", 2)
    splits = dataset.load()
    assert splits.provenance["sizes"] == {"train": 12, "validation": 0, "test": 4}
    assert splits.provenance["classes"] == ["cat", "dog"]
    x, y = rows_of(splits)
    found = {(x[i] * 255).round().byte().numpy().transpose(1, 2, 0).tobytes(): int(y[i]) for i in range(12)}
    assert found == {picture.tobytes(): i % 2 for i, picture in enumerate(PICTURES[:12])}
    test = splits.test.fetch(torch.arange(4))
    assert test.y is not None
    assert test.y.tolist() == [1, 0, 1, 0]
    np.testing.assert_allclose(test.x[0].numpy() * 255, PICTURES[12].transpose(2, 0, 1), atol=1e-4)


@pytest.mark.parametrize("workers", [0, 2])
def test_streaming_equals_memory(workers: int) -> None:
    keys = {"size": 5, "channels": 1, "validation": 2}
    memory = load(SAVED / "pictures" / "train", **keys)
    streamed = load(SAVED / "pictures" / "train", **keys, memory_limit=0, workers=workers)
    assert isinstance(streamed.train, StreamingSplit)
    order = torch.arange(len(memory.train)).flip(0)
    for left, right in zip(memory.train.batches(order, 4), streamed.train.batches(order, 4), strict=True):
        assert torch.equal(left.x, right.x)
        assert torch.equal(left.y, right.y)


def test_arrays_of_several_files() -> None:
    splits = load(SAVED / "arrays", x="x", y="y", values="real", layout="as_is", test_fraction=0.2)
    x, y = rows_of(splits)
    assert x.shape == (8, 3, 4)
    expected = np.random.default_rng(0)
    for _ in range(16):
        expected.integers(0, 255, (6, 8, 3), dtype=np.uint8)
    values = expected.normal(size=(10, 3, 4)).astype("float32")
    np.testing.assert_array_equal(x.numpy(), values[y.numpy()])
    fixed = load(SAVED / "arrays", x="v", y=None, values="real")
    assert fixed.train.spec.shape == (5,)
    assert fixed.train.fetch(torch.tensor([0])).y is None


@pytest.mark.parametrize(
    ("folder", "keys", "words"),
    [
        ("pictures", {"size": 8}, "holds several data sets; name one of '.*train'"),
        ("pictures/train", {}, 'holds pictures. Give the "size"'),
        ("pictures/train", {"x": "picture", "size": 8}, "no column 'picture'. It has: image, label"),
        ("pictures/train", {"size": 8, "y": "id"}, "no column 'id'"),
        ("arrays", {"x": "w", "y": None}, "a fixed length"),
        ("arrays", {"x": "y", "y": None}, "data set 'table'"),
        ("arrays", {"x": "x", "y": "y"}, "grey levels lie in"),
        ("arrays", {"x": "x", "y": "y", "size": 3}, 'no pictures. Leave "size" out'),
        ("scalars", {"x": "a", "y": None}, "data set 'table'"),
        (".", {"size": 8}, "no data set that `save_to_disk` wrote"),
    ],
)
def test_what_cannot_be_read_is_explained(folder: str, keys: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(SAVED / folder, **keys)


def _copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAVED / "pictures" / "train", tmp_path / "copy"))


def test_names_in_the_folder_cannot_lead_out_of_it(tmp_path: Path) -> None:
    copy = _copy(tmp_path)
    (copy / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../secret.arrow"}]}))
    with pytest.raises(DataError, match="not in the folder"):
        load(copy, size=8)


def test_damaged_files_and_pictures_outside_are_named(tmp_path: Path) -> None:
    copy = _copy(tmp_path)
    file = copy / "data-00000-of-00001.arrow"
    content = file.read_bytes()
    for bad in (b"", content[:200], pickle.dumps({"a": 1})):
        file.write_bytes(bad)
        with pytest.raises(DataError, match=r"cannot be read|no column"):
            load(copy, size=8)
    buffer = io.BytesIO()
    Image.fromarray(PICTURES[0]).save(buffer, "PNG")
    cases: dict[str, dict[str, Any]] = {
        "row 1 of 'image' holds no picture but the name": {"bytes": None, "path": "/etc/passwd"},
        "row 1 of 'image' is no picture": {"bytes": b"none", "path": ""},
    }
    for words, broken in cases.items():
        stored = [{"bytes": buffer.getvalue(), "path": ""}, broken]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({"image": pa.array(stored, kind), "label": pa.array([0, 1])})
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        with pytest.raises(DataError, match=words):
            load(copy, size=8)  # two pictures, one for training and one for the test
