"""The user's own pictures, in folders."""

from __future__ import annotations

import os
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt

from vaelab.datasets.base import Dataset, DatasetConfig
from vaelab.datasets.bounded import expanded
from vaelab.datasets.partition import MAX_SEED, partition
from vaelab.datasets.pictures import Fit, PictureReader, class_names, digest, find_pictures
from vaelab.datasets.streaming import ReaderPart
from vaelab.errors import DataError
from vaelab.registry import DATASETS
from vaelab.section import PathText
from vaelab.types import DataSpec, DataSplits


class ImageFolderConfig(DatasetConfig):
    """Arguments of a folder of pictures."""

    kind: Literal["image_folder"] = "image_folder"

    path: PathText
    """Folder of the pictures: either they lie in it, or it holds a folder for each class."""

    test_path: PathText | None = None
    """Folder of the test pictures, made the same way; without it some of `path` are held out."""

    size: PositiveInt | tuple[PositiveInt, PositiveInt]
    """Side of the square, or height and width, to which pictures are brought."""

    channels: Literal[1, 3] = 3
    """1 for grey, 3 for colour."""

    fit: Fit = "crop"
    """How other proportions are met: by cutting the longer side at both ends, or by stretching."""

    test_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the pictures held out for the test where there is no `test_path`."""

    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of the permutation that decides which pictures are held out."""

    memory_limit: NonNegativeInt = 2**30
    """Bytes, at one byte a channel of a pixel, up to which all pictures are kept in memory; above, they are
    streamed."""

    workers: NonNegativeInt = 2
    """Processes that decode streamed pictures; 0 decodes in the training process."""

    @classmethod
    def example(cls) -> Self:
        """Small pictures in a folder that need not exist for a model to be built."""
        return cls(path="pictures", size=16, train_limit=64, test_limit=32)

    @property
    def height_width(self) -> tuple[int, int]:
        """Height and width of a picture."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


@DATASETS.register(ImageFolderConfig)
class ImageFolder(Dataset[ImageFolderConfig]):
    """The user's own pictures, with folders for classes or without, brought to one size, in memory or
    streamed.

    Reads PNG, JPEG, WebP, BMP, GIF, TIFF, PPM and PGM with 8 bits a channel. Which pictures are held out is
    decided by a seeded permutation of their sorted paths. A damaged picture stops the run with its name: when
    the data are loaded, or, where they are streamed, when it is reached.

    *Cost*: one decoding a picture where all fit into memory; else one each time, in worker processes.
    """

    @property
    def spec(self) -> DataSpec:
        """Shape from the config; the number of classes from the names of the folders, None if there are none
        yet."""
        folder = expanded(self.config.path)
        classes = class_names(folder) if folder.is_dir() else []
        return self._describe((self.config.channels, *self.config.height_width), num_classes=len(classes) or None)

    def load(self) -> DataSplits:
        """Find the pictures, and decode them if they fit into memory."""
        config = self.config
        folder = expanded(config.path)
        classes = class_names(folder)
        found = [(folder, *find_pictures(folder, classes))]
        if config.test_path is not None:
            test_folder = expanded(config.test_path)
            test_classes = class_names(test_folder)
            if unknown := sorted(set(test_classes) - set(classes)):
                raise DataError(
                    f"{test_folder} has a folder '{unknown[0]}' that {folder} does not have. Give both the same folders."
                )
            if bool(test_classes) != bool(classes):
                raise DataError(f"{folder} has folders for classes and {test_folder} has none. Make both alike.")
            found.append((test_folder, *find_pictures(test_folder, classes)))

        height, width = config.height_width
        needed = sum(len(paths) for _, paths, _ in found) * config.channels * height * width
        in_memory = needed <= config.memory_limit
        parts = [
            ReaderPart(
                PictureReader(paths, config.height_width, config.channels, config.fit),
                labels,
                # decoding into memory happens once, so all that the machine has may help
                (os.cpu_count() or 1) if in_memory else config.workers,
                in_memory,
            )
            for _, paths, labels in found
        ]
        provenance: dict[str, Any] = {
            "source": "image_folder",
            "files": {str(where): digest(where, paths, in_memory) for where, paths, _ in found},
            "checksum_of": "names and contents" if in_memory else "names and sizes",
            "in_memory": in_memory,
            "classes": classes,
        }
        test = parts[1] if len(parts) > 1 else None
        return partition(config, self.spec, parts[0], test, provenance, config.split_seed, config.test_fraction)
