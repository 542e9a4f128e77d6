"""CIFAR-10."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vaelab.datasets.base import Dataset, DatasetConfig
from vaelab.datasets.bounded import read_bytes
from vaelab.datasets.download import Remote, download
from vaelab.datasets.locate import checksums, locate
from vaelab.datasets.memory import MemoryPart
from vaelab.datasets.partition import partition
from vaelab.errors import DataError
from vaelab.registry import DATASETS
from vaelab.section import PathText
from vaelab.types import DataSpec, DataSplits

SHAPE = (3, 32, 32)
ARCHIVE = Remote(
    "cifar-10-binary.tar.gz",
    "c32a1d4ab5d03f1284b67883e8d87530",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
)
FOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_FILES = ("test_batch.bin",)
#: A label and the red, green and blue planes.
RECORD = 1 + 3 * 32 * 32
_LARGEST = 10_000 * RECORD


class Cifar10Config(DatasetConfig):
    """Arguments of CIFAR-10."""

    kind: Literal["cifar10"] = "cifar10"

    root: PathText | None = None
    """Folder to search first, for the binary version of the data set. Then come $VAELAB_DATA, the cache and
    the network."""


@DATASETS.register(Cifar10Config)
class Cifar10(Dataset[Cifar10Config]):
    """CIFAR-10: small colour photographs, 3 x 32 x 32, 50,000 for training and 10,000 for the test, 10
    classes.

    Source: Krizhevsky, "Learning multiple layers of features from tiny images" (2009). No licence is stated.
    The binary version is read (`cifar-10-binary.tar.gz`, or unpacked as `cifar-10-batches-bin`), because the
    Python version that torchvision keeps consists of pickles. Validation takes the last training pictures.

    *Cost*: a download of 162 MB; 184 MB in memory.
    """

    @property
    def spec(self) -> DataSpec:
        """Three channels of 32 x 32 pixels, ten classes."""
        return self._describe(SHAPE, num_classes=10)

    def load(self) -> DataSplits:
        """Read the archive or the unpacked folder, downloading the archive if both are nowhere."""
        located = locate(
            "CIFAR-10 (binary version)",
            f"{ARCHIVE.name} or {FOLDER}/",
            self.config.root,
            lambda root: _unpacked(root) or (root / ARCHIVE.name).is_file(),
            lambda root: download([ARCHIVE], root),
        )
        root = located.root
        if _unpacked(root):
            used = [root / FOLDER / name for name in TRAIN_FILES + TEST_FILES]
            contents = {path.name: _read_file(path) for path in used}
        else:
            used = [root / ARCHIVE.name]
            contents = _read_archive(used[0])
        train, test = (_parse(names, contents, root) for names in (TRAIN_FILES, TEST_FILES))
        provenance = {
            "source": "cifar10",
            "place": located.place,
            "root": str(root),
            "files": checksums(root, used),
        }
        return partition(self.config, self.spec, train, test, provenance)


def _unpacked(root: Path) -> bool:
    return all((root / FOLDER / name).is_file() for name in TRAIN_FILES + TEST_FILES)


def _read_file(path: Path) -> bytes:
    try:
        return read_bytes(path, _LARGEST)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}. Put an intact copy in its place.") from error


def _read_archive(path: Path) -> dict[str, bytes]:
    contents = {}
    try:
        # members are read, never unpacked, so that a name in the archive cannot choose where to write
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                stream = (
                    archive.extractfile(member) if member.isfile() and name in (*TRAIN_FILES, *TEST_FILES) else None
                )
                if stream is not None:
                    # a byte more than there may be is found to be no multiple of a record
                    contents[name] = stream.read(_LARGEST + 1)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}. Delete it, or put an intact copy in its place.") from error
    return contents


def _parse(names: tuple[str, ...], contents: dict[str, bytes], root: Path) -> MemoryPart:
    tables: list[Tensor] = []
    for name in names:
        content = contents.get(name)
        if content is None:
            raise DataError(f"{root / ARCHIVE.name} lacks {FOLDER}/{name}. Put an intact copy in its place.")
        if not content or len(content) % RECORD:
            raise DataError(
                f"{name} below {root} is truncated: {len(content)} bytes are no multiple of {RECORD}. Put an intact copy in its place."
            )
        tables.append(torch.frombuffer(bytearray(content), dtype=torch.uint8).reshape(-1, RECORD))
    table = torch.cat(tables)
    y = table[:, 0].to(torch.int64)
    if int(y.max()) > 9:
        raise DataError(
            f"{names[0]} below {root} is damaged: it holds the label {int(y.max())}, and 9 is the largest. Put an intact copy in its place."
        )
    return MemoryPart(table[:, 1:].reshape(-1, *SHAPE), y)
