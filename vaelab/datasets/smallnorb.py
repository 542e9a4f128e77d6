"""Small NORB, from its published files."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from vaelab.datasets.bounded import read_bytes
from vaelab.datasets.factor_grid import FactorGrid
from vaelab.datasets.factors import FactorDataset, FactorDatasetConfig
from vaelab.datasets.locate import checksums, locate, not_downloaded
from vaelab.datasets.memory import MemoryPart
from vaelab.datasets.partition import Part
from vaelab.errors import DataError
from vaelab.registry import DATASETS, default
from vaelab.section import PathText
from vaelab.types import Factor, Shape

PARTS = ("smallnorb-5x46789x9x18x6x2x96x96-training", "smallnorb-5x01235x9x18x6x2x96x96-testing")
CONTENTS = ("dat", "cat", "info")
SIDE = 96
GRID = FactorGrid(
    (
        Factor("category", 5),
        Factor("instance", 10),
        Factor("elevation", 9),
        Factor("azimuth", 18),
        Factor("lighting", 6),
    )
)
#: Bytes of the largest of the files, the pictures of one part, and more for its header.
_LARGEST = len(GRID) // 2 * 2 * SIDE**2 + 100
#: The first number of a file tells the type of those that follow.
TYPES: dict[int, np.dtype[Any]] = {0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4")}


class SmallNorbConfig(FactorDatasetConfig):
    """Arguments of small NORB."""

    kind: Literal["smallnorb"] = "smallnorb"

    held_out: dict[str, tuple[NonNegativeInt, ...]] | None = default({"instance": [0, 1, 2, 3, 5]})
    """The combinations held out for the test; by default the published test part, which has five toys of each category."""

    root: PathText | None = None
    """Folder to search first for the files of the data set. Then come $VAELAB_DATA and the cache."""

    size: int = Field(64, ge=8, le=SIDE)
    """Side in pixels to which the pictures are reduced; 96 leaves them as they are."""


@DATASETS.register(SmallNorbConfig)
class SmallNorb(FactorDataset[SmallNorbConfig]):
    """Small NORB: 50 toys of 5 categories on a turntable, grey, 48,600 pictures of 96 x 96 reduced to 64 x 64.

    Source: LeCun et al., "Learning methods for generic object recognition with invariance to pose and lighting", CVPR
    (2004), https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/, for research only. The six files `smallnorb-...-mat` (or
    `.mat.gz`) are looked for and not downloaded. Of each stereo pair the first camera's picture is taken. Ten instances
    of each category are a factor here; the numbers of two categories' instances have nothing in common. The category
    is the label.

    *Cost*: six files to fetch; 200 MB in memory at 64 x 64.
    """

    label = "category"

    @property
    def grid(self) -> FactorGrid:
        return GRID

    @property
    def shape(self) -> Shape:
        return (1, self.config.size, self.config.size)

    def read(self, y: Tensor | None) -> tuple[Part, Mapping[str, Any]]:
        located = locate(
            "small NORB",
            f"{PARTS[0]}-dat.mat and its five companions, each perhaps with .gz",
            self.config.root,
            lambda root: all(_file(root, part, content) for part in PARTS for content in CONTENTS),
            not_downloaded("https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"),
        )
        files = {(part, content): _file(located.root, part, content) for part in PARTS for content in CONTENTS}
        x = torch.empty(len(GRID), *self.shape, dtype=torch.uint8)
        seen = torch.zeros(len(GRID), dtype=torch.bool)
        for part in PARTS:
            pictures, category, info = (_matrix(files[part, content]) for content in CONTENTS)
            shapes = pictures.shape[1:] == (2, SIDE, SIDE) and category.ndim == 1 and info.shape[1:] == (4,)
            if not shapes or not len(pictures) == len(category) == len(info):
                raise DataError(
                    f"the files {part}-*.mat below {located.root} do not belong together. Put intact copies in their place."
                )
            # the azimuth is noted in units of 10 degrees, of which every other was photographed
            noted = np.column_stack([category, info[:, 0], info[:, 1], info[:, 2] // 2, info[:, 3]])
            rows = GRID.rows(torch.from_numpy(noted.astype(np.int64)))
            x[rows] = _reduced(torch.from_numpy(pictures[:, :1].copy()), self.config.size)
            seen[rows] = True
        if not bool(seen.all()):
            raise DataError(
                f"small NORB below {located.root} is damaged: {int((~seen).sum())} combinations are missing. Put "
                "intact copies of the files in their place."
            )
        used = [path for path in files.values() if path is not None]
        provenance = {
            "source": "smallnorb",
            "place": located.place,
            "root": str(located.root),
            "files": checksums(located.root, used),
        }
        return MemoryPart(x, y), provenance


def _file(root: Path, part: str, content: str) -> Path | None:
    for suffix in (".mat", ".mat.gz"):
        if (path := root / f"{part}-{content}{suffix}").is_file():
            return path
    return None


def _matrix(path: Path | None) -> np.ndarray:
    """One file: the type, the number of axes, their lengths (three at least), and the numbers."""
    assert path is not None
    try:
        content = read_bytes(path, _LARGEST)
        kind, axes = np.frombuffer(content, "<i4", 2).tolist()
        lengths = np.frombuffer(content, "<i4", axes, offset=8)
        numbers = np.frombuffer(content, TYPES[kind], offset=8 + 4 * max(3, axes))
        return numbers.reshape(lengths)
    except (OSError, EOFError, zlib.error, ValueError, KeyError) as error:
        raise DataError(f"{path} cannot be read: {error}. Put an intact copy in its place.") from error


def _reduced(pictures: Tensor, size: int) -> Tensor:
    from torchvision.transforms.functional import resize

    return torch.cat([resize(some, [size, size], antialias=True) for some in pictures.split(2048)])
