"""Files of one JSON object a line, to which a run adds: a line is there whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from vaelab.files import finite, storage_error, write_text
from vaelab.records import read_lines


def keep_until(path: Path, step: int) -> None:
    """Drop the lines after a step, which a run that goes on from there writes again."""
    kept = [line for line in read_lines(path) if line["step"] <= step]
    write_text(path, "".join(json.dumps(line) + "\n" for line in kept))


class LineWriter:
    """Adds lines to a file. NaN and infinity become null.

    Args:
        path: of the file; made where it is missing.

    Raises:
        StorageError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise storage_error(path, error) from error
        self._size = os.fstat(self._file).st_size

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line, which a process killed afterwards cannot lose.

        Raises:
            StorageError: there is no room for it; the file is as before.
        """
        content = (json.dumps(finite(dict(line)), allow_nan=False) + "\n").encode()
        try:
            written = 0
            while written < len(content):  # a disk that fills up takes a part
                written += os.write(self._file, content[written:])
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise storage_error(self.path, error) from error
        self._size += len(content)

    def sync(self) -> None:
        """Bring all lines to the disk, so that they survive the machine as well.

        Raises:
            StorageError: the disk refuses them.
        """
        try:
            os.fsync(self._file)
        except OSError as error:
            raise storage_error(self.path, error) from error

    def close(self) -> None:
        """Nothing more will come."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
