"""3D Shapes, from its published file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from vaelab.datasets.array_files import explained
from vaelab.datasets.drawn import DrawnPart, Pictures
from vaelab.datasets.factor_grid import FactorGrid
from vaelab.datasets.factors import FactorDataset, FactorDatasetConfig
from vaelab.datasets.locate import checksums, locate, not_downloaded
from vaelab.datasets.partition import Part
from vaelab.errors import DataError
from vaelab.registry import DATASETS
from vaelab.section import PathText
from vaelab.types import Factor, Shape

PUBLISHED, PLAIN = "3dshapes.h5", "3dshapes.npy"
SIDE = 64
GRID = FactorGrid(
    (
        Factor("floor_hue", 10),
        Factor("wall_hue", 10),
        Factor("object_hue", 10),
        Factor("scale", 8),
        Factor("shape", 4),
        Factor("orientation", 15),
    )
)


class Shapes3DConfig(FactorDatasetConfig):
    """Arguments of 3D Shapes."""

    kind: Literal["shapes3d"] = "shapes3d"

    root: PathText | None = None
    """Folder to search first for the file of the data set. Then come $VAELAB_DATA and the cache."""


@DATASETS.register(Shapes3DConfig)
class Shapes3D(FactorDataset[Shapes3DConfig]):
    """3D Shapes: a coloured object in a coloured room, 3 x 64 x 64, 480,000 pictures of six factors.

    Source: Burgess and Kim, "3D shapes dataset" (2018), https://github.com/google-deepmind/3d-shapes, Apache 2.0. The
    file is looked for and not downloaded: `3dshapes.npy`, the array `images` of the published file saved with
    `numpy.save`, which stays on the disk and is mapped; or the published `3dshapes.h5`, which needs the package h5py and
    is read into memory whole, 5.5 GiB. The shape is the label.

    *Cost*: a file of 255 MB to fetch, 5.5 GiB unpacked; mapped from the disk, or read whole.
    """

    @property
    def grid(self) -> FactorGrid:
        return GRID

    @property
    def shape(self) -> Shape:
        return (3, SIDE, SIDE)

    def read(self, y: Tensor | None) -> tuple[Part, Mapping[str, Any]]:
        located = locate(
            "3D Shapes",
            f"{PLAIN} or {PUBLISHED}",
            self.config.root,
            lambda root: (root / PLAIN).is_file() or (root / PUBLISHED).is_file(),
            not_downloaded("https://github.com/google-deepmind/3d-shapes"),
        )
        plain, published = located.root / PLAIN, located.root / PUBLISHED
        path = plain if plain.is_file() else published
        pictures = _mapped(path) if path == plain else _from_hdf5(path)
        if pictures.shape != (len(GRID), SIDE, SIDE, 3) or pictures.dtype != np.uint8:
            raise DataError(
                f"{path} is damaged: it holds {pictures.dtype} of the shape {pictures.shape}, and not {len(GRID)} pictures of "
                f"{SIDE} x {SIDE} x 3 bytes. Put an intact copy in its place."
            )
        provenance = {
            "source": "shapes3d",
            "place": located.place,
            "root": str(located.root),
            "files": checksums(located.root, [path]),
        }
        return DrawnPart(Pictures(pictures), y), provenance


def _mapped(path: Path) -> np.ndarray:
    with explained(path):
        # copied on write, because torch takes no array that cannot be written to
        array = np.load(path, mmap_mode="c", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive of arrays")
    return array


def _from_hdf5(path: Path) -> np.ndarray:
    try:
        import h5py  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise DataError(
            f"{path} is read with the package h5py, which is not installed. Run `pip install h5py`, or save its array "
            f"`images` as {PLAIN}."
        ) from error
    try:
        with h5py.File(path, "r") as file:
            images = file["images"]
            # looked at before it is read, which takes all of the memory that its header asks for
            if getattr(images, "shape", None) != (len(GRID), SIDE, SIDE, 3) or images.dtype != np.uint8:
                raise DataError(
                    f"{path} is damaged: its `images` are not {len(GRID)} pictures. Put an intact copy in its place."
                )
            array: np.ndarray = images[:]
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Put an intact copy in its place.") from error
    return array
