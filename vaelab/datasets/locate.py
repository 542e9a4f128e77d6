"""Where published data sets are looked for, and what is said when they are nowhere."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vaelab.datasets.bounded import expanded
from vaelab.datasets.download import DownloadError, Remote, download
from vaelab.errors import DataError

Place = Literal["data.root", "VAELAB_DATA", "cache", "download"]


class MissingDataError(DataError):
    """A published data set is nowhere on this machine and cannot be downloaded."""


@dataclass(frozen=True)
class Located:
    """The root folder in which a data set was found, and which of the places that was."""

    root: Path
    place: Place


def cache_folder() -> Path:
    """Where downloads go: `$XDG_CACHE_HOME/vaelab`, or `~/.cache/vaelab`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else expanded("~/.cache")) / "vaelab"


def places(root: str | None) -> list[Located]:
    """The places to search, in order: `data.root`, `$VAELAB_DATA`, the user's cache."""
    found: list[Located] = []
    if root is not None:
        found.append(Located(expanded(root), "data.root"))
    if variable := os.environ.get("VAELAB_DATA"):
        found.append(Located(expanded(variable), "VAELAB_DATA"))
    return [*found, Located(cache_folder(), "cache")]


def locate(
    what: str,
    layout: str,
    root: str | None,
    present: Callable[[Path], bool],
    fetch: Callable[[Path], None],
    remedy: str = "",
) -> Located:
    """Find a published data set, or download it into the cache.

    Args:
        what: its name, for messages.
        layout: what is expected below a root folder, for messages.
        root: the folder that the config names, or None.
        present: whether a root folder holds the data set.
        fetch: downloads it into a root folder.
        remedy: one more thing that the user can do.

    Raises:
        MissingDataError: it is nowhere and could not be downloaded.
    """
    searched = places(root)
    for candidate in searched:
        if present(candidate.root):
            return candidate
    cache = cache_folder()
    try:
        fetch(cache)
    except DownloadError as error:
        listed = "\n".join(f"  {candidate.place}: {candidate.root / layout}" for candidate in searched)
        unset = "" if any(c.place == "VAELAB_DATA" for c in searched) else " ($VAELAB_DATA is not set)"
        raise MissingDataError(
            f"{what} was not found{unset}; searched\n{listed}\nand it could not be downloaded: {error}\n"
            f'Set VAELAB_DATA or "root" of the data set to a folder that holds {layout}{remedy}.'
        ) from error
    return Located(cache, "download")


def cached_file(what: str, file: Remote, folder: str) -> Path:
    """A single published file, such as the weights of a network; downloaded into the cache where it is missing.

    Args:
        what: it is, for messages.
        file: its name, addresses and checksums.
        folder: below each of the places that are searched.

    Raises:
        MissingDataError: it is nowhere and could not be downloaded.
    """
    candidates = [place.root / folder / file.name for place in places(None)]
    for path in candidates:
        if path.is_file():
            return path
    try:
        download([file], candidates[-1].parent)
    except DownloadError as error:
        listed = "\n".join(f"  {path}" for path in candidates)
        raise MissingDataError(
            f"{what} were not found; searched\n{listed}\nand they could not be downloaded: {error}\n"
            f"Get the file on a machine with a network and put it at one of these places."
        ) from error
    return candidates[-1]


def not_downloaded(page: str) -> Callable[[Path], None]:
    """What `locate` may call for a data set that the user must get."""

    def refuse(root: Path) -> None:
        raise DownloadError(f"vaelab does not download it; get it from {page}")

    return refuse


def checksums(root: Path, files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file by its name below `root`."""
    found = {}
    for path in files:
        with path.open("rb") as stream:
            found[path.relative_to(root).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found
