"""Writing files so that a reader, or a crash, sees the old content or the new one and nothing between."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vaelab.errors import StorageError

#: What an operating system's refusal means for the user, and what helps.
_REASONS = {
    errno.ENOSPC: "the disk is full. Free some space",
    errno.EDQUOT: "the quota is used up. Free some space, or have the quota raised",
    errno.EFBIG: "the file would be larger than the limit of this process or file system. Raise it (`ulimit -f`)",
    errno.EROFS: "the file system is read-only. Choose another place, or have it mounted for writing",
    errno.EACCES: "there is no permission to write here. Choose another place, or change the permissions",
    errno.EPERM: "there is no permission to write here. Choose another place, or change the permissions",
    errno.ENOENT: "the folder is gone. Bring it back, or choose another place",
    errno.ENOTDIR: "a part of the path is no folder. Choose another place",
    errno.EISDIR: "it is a folder. Give the name of a file",
    errno.ENAMETOOLONG: "the name is too long. Choose another one",
    errno.EIO: "the disk reports an error. Choose another one",
}

#: Names of files and folders that are not whole yet: ours, and those of safetensors.
_TEMPORARY = re.compile(r"\..*\.tmp|\.tmp.*")


def storage_error(path: Path, error: Exception) -> StorageError:
    """The error that says why a path cannot be written, and what helps.

    Args:
        path: that was to be written.
        error: an `OSError`, or an error of a library whose message holds the number of one (`os error 28`).
    """
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := re.search(r"os error (\d+)", str(error))):
        number = int(found.group(1))
    reason = _REASONS.get(number or 0) or (os.strerror(number) if number else str(error))
    return StorageError(f"{path}: cannot be written: {reason}.")


def make_folder(path: Path) -> None:
    """Make a folder, with those above it.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what is written there takes the place of `path` at the end.

    The temporary file or folder is synced to the disk first. If the block fails, it is removed and `path` is as before.

    Raises:
        StorageError: the disk is full, or the place cannot be written.
    """
    if not path.name:
        raise storage_error(path, IsADirectoryError(errno.EISDIR, "a folder"))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    make_folder(path.parent)
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")) if temporary.is_dir() else (temporary,):
            _sync(file)
        if path.is_dir():
            if not temporary.is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder")
            # a folder cannot be replaced by another in one move
            aside = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
            os.replace(path, aside)
            os.replace(temporary, path)
            _remove(aside)
        else:
            os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        _remove(temporary)


def sweep_up(folder: Path) -> None:
    """Remove what processes that were killed left unfinished in a folder. Nobody else may write there meanwhile."""
    for path in list(folder.iterdir()) if folder.is_dir() else ():
        if _TEMPORARY.fullmatch(path.name):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a whole text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically; see `to_json`."""
    write_text(path, to_json(content))


def to_json(content: Any) -> str:
    """Indented JSON; NaN and infinity become null, since JSON has none."""
    return json.dumps(finite(content), indent=2, allow_nan=False) + "\n"


def finite(content: Any) -> Any:
    """Content for JSON, in which NaN and infinity are null."""
    if isinstance(content, float) and (content != content or content in (float("inf"), float("-inf"))):
        return None
    if isinstance(content, dict):
        return {str(key): finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return content


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
