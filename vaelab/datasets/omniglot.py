"""Omniglot."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from vaelab.datasets.base import Dataset, DatasetConfig
from vaelab.datasets.bounded import read_member
from vaelab.datasets.download import Remote, download
from vaelab.datasets.locate import checksums, locate
from vaelab.datasets.partition import MAX_SEED, partition
from vaelab.datasets.pictures import decode
from vaelab.datasets.streaming import ReaderPart
from vaelab.errors import DataError
from vaelab.registry import DATASETS
from vaelab.section import PathText
from vaelab.types import DataSpec, DataSplits

FOLDER = "omniglot-py"
PARTS = ("images_background", "images_evaluation")
#: 964 characters in the background alphabets and 659 in those for evaluation.
CLASSES = 964 + 659
#: Pictures of one archive (20 of each character), and bytes of one; the published ones have some hundred.
_MOST, _LARGEST = 20 * 964, 2**16


class OmniglotConfig(DatasetConfig):
    """Arguments of Omniglot."""

    kind: Literal["omniglot"] = "omniglot"

    root: PathText | None = None
    """Folder to search first; it has torchvision's layout. Then come $VAELAB_DATA, the user's cache and the
    network."""

    size: PositiveInt = 28
    """Side to which the pictures of 105 x 105 pixels are brought."""

    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of the permutation that decides which of the background characters are for validation."""


@DATASETS.register(OmniglotConfig)
class Omniglot(Dataset[OmniglotConfig]):
    """Omniglot: handwritten characters of 50 alphabets, 19,280 (background) for training and 13,180 for the
    test.

    Source: Lake, Salakhutdinov and Tenenbaum, "Human-level concept learning through probabilistic program
    induction" (2015). Licence: MIT. Ink is 1 and paper 0, as in MNIST. Labels are characters, 1,623 in all;
    those of the test are others than those of training. Files are sorted by alphabet, so the order of the
    training data is a seeded permutation. The split is not that of Burda et al. (2016), with which much of
    the literature compares.

    *Cost*: a download of 16 MB; pictures are reduced once.
    """

    @property
    def spec(self) -> DataSpec:
        """One channel, 1,623 classes."""
        return self._describe((1, self.config.size, self.config.size), num_classes=CLASSES)

    def load(self) -> DataSplits:
        """Decode both archives, downloading them if they are nowhere."""
        located = locate(
            "Omniglot",
            f"{FOLDER}/images_{{background,evaluation}}.zip",
            self.config.root,
            lambda root: all((root / FOLDER / f"{name}.zip").is_file() for name in PARTS),
            _fetch,
        )
        archives = [located.root / FOLDER / f"{name}.zip" for name in PARTS]
        parts = []
        first_label = 0
        for path in archives:
            reader, y = _open(path, self.config.size, first_label)
            first_label = int(y.max()) + 1
            parts.append(ReaderPart(reader, y, workers=os.cpu_count() or 1, in_memory=True))
        if first_label > CLASSES:
            raise DataError(
                f"{archives[0].parent} holds {first_label} characters; Omniglot has {CLASSES}. Put intact copies in their place."
            )
        provenance = {
            "source": "omniglot",
            "place": located.place,
            "root": str(located.root),
            "files": checksums(located.root, archives),
        }
        return partition(self.config, self.spec, parts[0], parts[1], provenance, self.config.split_seed)


def _fetch(root: Path) -> None:
    from torchvision.datasets import Omniglot as Published

    files = [
        Remote(f"{name}.zip", Published.zips_md5[name], (f"{Published.download_url_prefix}/{name}.zip",))
        for name in PARTS
    ]
    download(files, root / FOLDER)


class _ZipReader:
    """Decodes pictures of an archive that was read into memory (it is 10 MB)."""

    def __init__(self, path: Path, contents: list[tuple[str, bytes]], size: int) -> None:
        self._path = path
        self._contents = contents
        self._size = size

    def __len__(self) -> int:
        return len(self._contents)

    def read(self, row: int) -> Tensor:
        name, content = self._contents[row]
        return 255 - decode(io.BytesIO(content), f"{name} in {self._path}", (self._size, self._size), 1)


def _open(path: Path, size: int, first_label: int) -> tuple[_ZipReader, Tensor]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".png") and name.startswith(path.stem))
            contents = [(name, read_member(archive, name, _LARGEST)) for name in names[: _MOST + 1]]
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, RuntimeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Delete it, or put an intact copy in its place.") from error
    if not names or len(names) > _MOST:
        raise DataError(
            f"{path} holds {len(names)} pictures below {path.stem}/, and 1 to {_MOST:,} are possible. Put an intact copy in its place."
        )
    characters = [name.rpartition("/")[0] for name in names]
    labels = {character: first_label + i for i, character in enumerate(sorted(set(characters)))}
    return _ZipReader(path, contents, size), torch.tensor([labels[character] for character in characters])
