"""dSprites, from its published file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from vaelab.datasets.array_files import explained, header, read
from vaelab.datasets.drawn import DrawnPart, PackedBits
from vaelab.datasets.factor_grid import FactorGrid
from vaelab.datasets.factors import FactorDataset, FactorDatasetConfig
from vaelab.datasets.locate import checksums, locate, not_downloaded
from vaelab.datasets.partition import Part
from vaelab.errors import DataError
from vaelab.registry import DATASETS
from vaelab.section import PathText
from vaelab.types import Factor, Shape

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
SIDE = 64
GRID = FactorGrid((Factor("shape", 3), Factor("scale", 6), Factor("orientation", 40), Factor("x", 32), Factor("y", 32)))


class DSpritesConfig(FactorDatasetConfig):
    """Arguments of dSprites."""

    kind: Literal["dsprites"] = "dsprites"

    root: PathText | None = None
    """Folder to search first for the file of the data set. Then come $VAELAB_DATA and the cache."""


@DATASETS.register(DSpritesConfig)
class DSprites(FactorDataset[DSpritesConfig]):
    """dSprites: a white square, ellipse or heart in 6 scales, 40 orientations and 32 x 32 positions, 64 x 64 bits.

    Source: Matthey et al., "dSprites: disentanglement testing sprites dataset" (2017),
    https://github.com/google-deepmind/dsprites-dataset, Apache 2.0. The file
    `dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz` is looked for and not downloaded. Its pictures are kept at a bit a
    pixel, 360 MiB. The data set `sprites` is much the same and needs no file.

    *Cost*: a file of 26 MB to fetch; 360 MiB in memory.
    """

    values = "binary"

    @property
    def grid(self) -> FactorGrid:
        return GRID

    @property
    def shape(self) -> Shape:
        return (1, SIDE, SIDE)

    def read(self, y: Tensor | None) -> tuple[Part, Mapping[str, Any]]:
        located = locate(
            "dSprites",
            FILE,
            self.config.root,
            lambda root: (root / FILE).is_file(),
            not_downloaded("https://github.com/google-deepmind/dsprites-dataset"),
            ', or use the data set "sprites", which needs no file',
        )
        path = located.root / FILE
        expected = GRID.combinations(torch.arange(len(GRID)))
        if header(path, "latents_classes").shape != (len(GRID), 1 + len(GRID.factors)):
            raise DataError(
                f"{path} is damaged: it lacks the factors of {len(GRID)} pictures. Put an intact copy in its place."
            )
        classes = read(path, "latents_classes")
        # the first column is the colour, of which there is one
        if not torch.equal(classes[:, 1:], expected):
            raise DataError(
                f"{path} is damaged: its pictures are not in the order of their factors. Put an intact copy in its place."
            )
        if header(path, "imgs").shape != (len(GRID), SIDE, SIDE):
            raise DataError(
                f"{path} is damaged: there are not {len(GRID)} pictures of {SIDE} x {SIDE} pixels. Put an intact copy in its place."
            )
        provenance = {
            "source": "dsprites",
            "place": located.place,
            "root": str(located.root),
            "files": checksums(located.root, [path]),
        }
        return DrawnPart(PackedBits(_packed(path), SIDE * SIDE), y), provenance


def _packed(path: Path, chunk: int = 8192) -> Tensor:
    """The pictures at a bit a pixel, read piece by piece, because at a byte a pixel they take 3 GB."""
    pieces = []
    with explained(path), zipfile.ZipFile(path) as archive, archive.open("imgs.npy") as stream:
        npy.read_magic(stream)
        npy.read_array_header_1_0(stream)
        for start in range(0, len(GRID), chunk):
            number = min(chunk, len(GRID) - start)
            pixels = np.frombuffer(stream.read(number * SIDE * SIDE), dtype=np.uint8)
            pieces.append(np.packbits(pixels.reshape(number, -1), axis=1))
    return torch.from_numpy(np.concatenate(pieces))
