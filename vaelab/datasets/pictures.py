"""Finding and decoding picture files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import torch
from torch import Tensor

from vaelab.errors import DataError

Fit = Literal["crop", "stretch"]

#: Pixels of one picture; a file of some kB may claim to have billions.
MAX_PIXELS = 2**26

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def decode(source: str | IO[bytes], name: str, size: tuple[int, int], channels: int, fit: Fit = "crop") -> Tensor:
    """A picture as uint8 `[channels, *size]`.

    Args:
        source: path or open file.
        name: what to call it in a message.
        size: height and width to bring it to.
        channels: 1 for grey, 3 for colour; an alpha channel is dropped.
        fit: `crop` keeps proportions and cuts the longer side at both ends, `stretch` keeps the whole
            picture.

    Raises:
        DataError: it is damaged, or has more than 8 bits a channel.
    """
    from PIL import Image, ImageOps

    width_height = size[1], size[0]
    try:
        with Image.open(source) as opened:
            if opened.mode[0] in "IF":
                raise DataError(
                    f"{name} has more than 8 bits a channel (mode {opened.mode}), which pictures here "
                    "cannot have. Convert it to 8 bits, or put the data into an array file."
                )
            if opened.width * opened.height > MAX_PIXELS:
                raise DataError(
                    f"{name} unpacks to {opened.width} x {opened.height} pixels, and {MAX_PIXELS:,} are the most that are read. "
                    "Reduce it, or leave it out."
                )
            picture = ImageOps.exif_transpose(opened).convert("L" if channels == 1 else "RGB")
    except DataError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error and more
        raise DataError(f"{name} is no picture that can be read: {error}. Replace it, or leave it out.") from error
    if picture.size != width_height:
        if fit == "crop":
            if opened.width * opened.height > MAX_PIXELS:
                raise DataError(
                    f"{name} unpacks to {opened.width} x {opened.height} pixels, and {MAX_PIXELS:,} are the most that are read. "
                    "Reduce it, or leave it out."
                )
            picture = ImageOps.fit(picture, width_height, Image.Resampling.BILINEAR)
        else:
            picture = picture.resize(width_height, Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(picture, dtype=np.uint8))
    return pixels.reshape(*size, channels).permute(2, 0, 1).contiguous()


@dataclass(frozen=True)
class PictureReader:
    """Reads picture files as uint8 `[channels, *size]`."""

    paths: tuple[str, ...]
    size: tuple[int, int]
    channels: int
    fit: Fit

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, row: int) -> Tensor:
        """Picture number `row`."""
        return decode(self.paths[row], self.paths[row], self.size, self.channels, self.fit)


def class_names(folder: Path) -> list[str]:
    """Names of the folders in a folder, in order; hidden ones left out."""
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error}. Give a folder of pictures.") from error


def find_pictures(folder: Path, classes: list[str]) -> tuple[tuple[str, ...], Tensor | None]:
    """Paths of all pictures in a fixed order, and their labels where folders name classes.

    Args:
        folder: where they lie; with classes, each class has a folder in it, which may hold more folders.
        classes: names of the classes, or none for pictures without labels.

    Raises:
        DataError: there are no pictures, or some lie beside the folders of the classes.
    """
    loose = sorted(str(path) for path in folder.iterdir() if _is_picture(path)) if folder.is_dir() else []
    if not classes:
        if not loose:
            raise DataError(f"{folder} holds no pictures; they may be {', '.join(SUFFIXES)}")
        return tuple(loose), None
    if loose:
        raise DataError(
            f"{folder} holds pictures ({Path(loose[0]).name}) beside folders of pictures ({classes[0]}). "
            "Put all of them into folders, one a class, or none."
        )
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(str(path) for path in (folder / name).rglob("*") if _is_picture(path))
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise DataError(f"the folders in {folder} hold no pictures; they may be {', '.join(SUFFIXES)}")
    return tuple(paths), torch.tensor(labels)


def digest(folder: Path, paths: tuple[str, ...], contents: bool) -> str:
    """SHA-256 over the names of files and their contents, or else their sizes."""
    total = hashlib.sha256()
    for path in paths:
        total.update(os.path.relpath(path, folder).encode("utf-8", "surrogateescape") + b"\0")
        if contents:
            with open(path, "rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
        else:
            total.update(str(os.path.getsize(path)).encode() + b"\0")
    return total.hexdigest()


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
