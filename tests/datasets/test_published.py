"""digits, CIFAR-10 and Omniglot."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vaelab.datasets import cifar10
from vaelab.datasets.cifar10 import Cifar10, Cifar10Config
from vaelab.datasets.digits import Digits, DigitsConfig
from vaelab.datasets.download import DownloadError
from vaelab.datasets.omniglot import Omniglot, OmniglotConfig
from vaelab.errors import DataError
from vaelab.registry import DATASETS
from vaelab.types import DataSpec

#: Their specification is that of another run, which has to be there.
OF_RUNS = ("latents",)


@pytest.mark.parametrize(
    "entry", [entry for entry in DATASETS if entry.kind not in OF_RUNS], ids=lambda entry: entry.kind
)
def test_every_example_gives_a_specification_without_data(entry, nowhere):
    config = entry.config.example()
    assert entry.config.model_validate_json(config.model_dump_json()) == config
    spec = DATASETS.build(config).spec
    assert spec.values == {"dsprites": "binary", "small_tables": "real", "table": "real"}.get(entry.kind, "unit")
    assert all(spec.shape)
    assert entry.summary
    missing = [n for n, f in entry.config.model_fields.items() if n != "kind" and not f.description]
    assert not missing


def test_digits():
    splits = Digits(DigitsConfig(validation=200)).load()
    assert splits.provenance["sizes"] == {"train": 1238, "validation": 200, "test": 359}
    batch = splits.train.fetch(torch.arange(1238))
    assert batch.x.shape == (1238, 1, 8, 8)
    assert float(batch.x.max()) == 1.0
    assert torch.equal((batch.x * 16).round() / 16, batch.x)
    assert batch.y.bincount().min() > 90
    assert Digits(DigitsConfig(binarisation="static")).load().train.fetch(torch.arange(9)).x.unique().tolist() == [0, 1]


@pytest.fixture
def cifar(tmp_path: Path) -> dict[str, np.ndarray]:
    """Records of each file, in the unpacked folder and in the archive."""
    rng = np.random.default_rng(0)
    records = {
        name: rng.integers(0, 256, (4, 3073), dtype=np.uint8) for name in cifar10.TRAIN_FILES + cifar10.TEST_FILES
    }
    folder = tmp_path / "unpacked" / cifar10.FOLDER
    folder.mkdir(parents=True)
    (tmp_path / "packed").mkdir()
    with tarfile.open(tmp_path / "packed" / cifar10.ARCHIVE.name, "w:gz") as archive:
        for name, table in records.items():
            table[:, 0] %= 10
            (folder / name).write_bytes(table.tobytes())
            archive.add(folder / name, f"{cifar10.FOLDER}/{name}")
    return records


@pytest.mark.parametrize("form", ["unpacked", "packed"])
def test_cifar10(tmp_path, nowhere, cifar, form):
    dataset = Cifar10(Cifar10Config(root=str(tmp_path / form), validation=4))
    assert dataset.spec == DataSpec((3, 32, 32), "unit", 10)
    splits = dataset.load()
    assert splits.provenance["sizes"] == {"train": 16, "validation": 4, "test": 4}
    for split, name in ((splits.validation, "data_batch_5.bin"), (splits.test, "test_batch.bin")):
        batch = split.fetch(torch.arange(4))
        assert batch.y.tolist() == cifar[name][:, 0].tolist()
        assert torch.equal((batch.x * 255).round().flatten(1), torch.from_numpy(cifar[name][:, 1:]).float())
    assert len(splits.provenance["files"]) == (6 if form == "unpacked" else 1)


def test_damaged_cifar10_is_named(tmp_path, nowhere, cifar):
    archive = tmp_path / "packed" / cifar10.ARCHIVE.name
    archive.write_bytes(archive.read_bytes()[:-3000])
    path = tmp_path / "unpacked" / cifar10.FOLDER / "test_batch.bin"
    for content, form, message in (
        (b"", "packed", r"cifar-10-binary\.tar\.gz cannot be read"),
        (path.read_bytes()[:-1], "unpacked", r"test_batch\.bin .* truncated"),
        (b"\x0a" * 3073, "unpacked", "label 10"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            Cifar10(Cifar10Config(root=str(tmp_path / form))).load()


def test_an_archive_that_lacks_a_file(tmp_path, nowhere):
    with tarfile.open(tmp_path / cifar10.ARCHIVE.name, "w:gz"):
        pass
    with pytest.raises(DataError, match=r"lacks .*data_batch_1\.bin"):
        Cifar10(Cifar10Config(root=str(tmp_path))).load()


def test_cifar10_that_is_nowhere(nowhere, monkeypatch):
    def refuse(*arguments: object) -> None:
        raise DownloadError("no network")

    monkeypatch.setattr(cifar10, "download", refuse)
    with pytest.raises(DataError, match=r"VAELAB_DATA[\s\S]*cifar-10-binary"):
        Cifar10(Cifar10Config()).load()


def omniglot_zip(path: Path, alphabets: dict[str, int], drawings: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for alphabet, characters in alphabets.items():
            for character in range(characters):
                for drawing in range(drawings):
                    page = Image.new("1", (105, 105), 1)
                    page.paste(0, (30, 30, 75, 75))
                    stream = io.BytesIO()
                    page.save(stream, "png")
                    name = f"{path.stem}/{alphabet}/character{character:02}/{drawing}.png"
                    archive.writestr(name, stream.getvalue())
        archive.writestr("__MACOSX/rubbish.png", b"rubbish")


def test_omniglot(tmp_path, nowhere):
    omniglot_zip(tmp_path / "omniglot-py" / "images_background.zip", {"Greek": 2, "Latin": 1})
    omniglot_zip(tmp_path / "omniglot-py" / "images_evaluation.zip", {"Tengwar": 2})
    dataset = Omniglot(OmniglotConfig(root=str(tmp_path), validation=2))
    assert dataset.spec == DataSpec((1, 28, 28), "unit", 1623)
    splits = dataset.load()
    assert splits.provenance["sizes"] == {"train": 7, "validation": 2, "test": 6}
    test = splits.test.fetch(torch.arange(6))
    assert test.y.tolist() == [3, 3, 3, 4, 4, 4]  # after the three characters of the background
    assert (test.x[:, 0, 14, 14] == 1).all()  # ink
    assert (test.x[:, 0, 0, 0] == 0).all()  # paper
    labels = torch.cat([s.fetch(torch.arange(len(s))).y for s in (splits.train, splits.validation)])
    assert labels.bincount().tolist() == [3, 3, 3]
    assert Omniglot(OmniglotConfig(size=14)).spec.shape == (1, 14, 14)


def test_damaged_omniglot_is_named(tmp_path, nowhere):
    for name in ("images_background", "images_evaluation"):
        omniglot_zip(tmp_path / "omniglot-py" / f"{name}.zip", {"Greek": 1})
    path = tmp_path / "omniglot-py" / "images_evaluation.zip"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match=r"images_evaluation\.zip cannot be read"):
        Omniglot(OmniglotConfig(root=str(tmp_path))).load()
