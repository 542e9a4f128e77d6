"""What MNIST and the data sets made in its likeness have in common."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

import torch

from vaelab.datasets.base import Dataset, DatasetConfig
from vaelab.datasets.download import Remote, download
from vaelab.datasets.idx import read_idx
from vaelab.datasets.locate import Located, checksums, locate
from vaelab.datasets.memory import MemoryPart
from vaelab.datasets.partition import partition
from vaelab.errors import DataError
from vaelab.section import PathText
from vaelab.types import DataSpec, DataSplits

if TYPE_CHECKING:
    from torchvision.datasets import MNIST

SIDE = 28
CLASSES = 10
#: Of one file, unpacked; the largest of them has 47 million.
MAX_BYTES = 10**8
FILES = (
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


class IdxImagesConfig(DatasetConfig):
    """Arguments of MNIST and its kin."""

    root: PathText | None = None
    """Folder to search first; it has torchvision's layout. Then come $VAELAB_DATA, the user's cache and the
    network."""


C = TypeVar("C", bound=IdxImagesConfig)


class IdxImages(Dataset[C]):
    """Grey pictures of 28 x 28 pixels in ten classes, in four IDX files, with an official test part."""

    folder: ClassVar[str]
    """Folder of the data set below a root, as torchvision names it."""

    mirrors: ClassVar[tuple[str, ...]] = ()
    """Addresses with HTTPS, where torchvision knows none."""

    @staticmethod
    @abstractmethod
    def published() -> type[MNIST]:
        """torchvision's class, which knows addresses and checksums; imported only when they are needed."""

    @property
    def remedy(self) -> str:
        """One more thing that the user can do where the files are missing."""
        return ""

    @property
    def spec(self) -> DataSpec:
        """One channel of 28 x 28 pixels, ten classes."""
        return self._describe((1, SIDE, SIDE), num_classes=CLASSES)

    def load(self) -> DataSplits:
        """Read the four files, downloading them if they are nowhere."""
        located = locate(
            self.config.kind,
            f"{self.folder}/raw/*-ubyte[.gz]",
            self.config.root,
            self._present,
            self._fetch,
            self.remedy,
        )
        return self._read(located)

    def _read(self, located: Located) -> DataSplits:
        raw = located.root / self.folder / "raw"
        used: list[Path] = []
        parts = []
        for pair in FILES:
            images, labels = (_existing(raw, name) for name in pair)
            assert images is not None
            assert labels is not None
            parts.append(_read_part(images, labels))
            used += [images, labels]
        provenance = {
            "source": self.config.kind,
            "place": located.place,
            "root": str(located.root),
            "files": checksums(located.root, used),
        }
        return partition(self.config, self.spec, parts[0], parts[1], provenance)

    def _present(self, root: Path) -> bool:
        raw = root / self.folder / "raw"
        return all(_existing(raw, name) is not None for pair in FILES for name in pair)

    def _fetch(self, root: Path) -> None:
        published = self.published()
        files = [
            Remote(name, md5, tuple(mirror + name for mirror in (*published.mirrors, *self.mirrors)))
            for name, md5 in published.resources
        ]
        download(files, root / self.folder / "raw")


def _existing(raw: Path, name: str) -> Path | None:
    for path in (raw / name, raw / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def _read_part(images: Path, labels: Path) -> MemoryPart:
    x, y = read_idx(images, 3, MAX_BYTES), read_idx(labels, 1, MAX_BYTES)
    if x.shape[1:] != (SIDE, SIDE):
        raise DataError(
            f"{images} holds pictures of {x.shape[1]} x {x.shape[2]} pixels, not {SIDE} x {SIDE}. Put an intact copy in its place."
        )
    if len(x) != len(y):
        raise DataError(
            f"{images} holds {len(x)} pictures and {labels} holds {len(y)} labels. Put copies in their place that belong together."
        )
    if int(y.max()) >= CLASSES:
        raise DataError(
            f"{labels} holds the label {int(y.max())}; the largest that can be is {CLASSES - 1}. Put an intact copy in its place."
        )
    return MemoryPart(x.unsqueeze(1), y.to(torch.int64))
