"""Reading files whose content may be larger than it looks: no more is unpacked than can be meant."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import IO

from vaelab.errors import DataError


def expanded(path: str) -> Path:
    """A path of a config, with `~` replaced where there is such a home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no user of that name; the path itself will be missed and named
        return Path(path)


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a file, unpacked where it ends in .gz.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        DataError: it has more.
        OSError, EOFError, zlib.error: it cannot be read.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as stream:
        return _at_most(stream, most, str(path))  # type: ignore[arg-type]


def read_member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A file in an archive, which may have so many bytes at most. Raises as `read_bytes` does, and `BadZipFile`."""
    with archive.open(name) as stream:
        return _at_most(stream, most, f"{name} in {archive.filename}")


def _at_most(stream: IO[bytes], most: int, what: str) -> bytes:
    content = stream.read(most + 1)
    if len(content) > most:
        raise DataError(
            f"{what} unpacks to more than the {most:,} bytes that it may have. Put an intact copy in its place."
        )
    return content
