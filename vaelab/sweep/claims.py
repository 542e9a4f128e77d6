"""Who works on what: files that a living process keeps and that a dead one loses."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from vaelab.errors import RunError

HEARTBEAT = 10.0
"""Seconds between two signs of life."""

STALE = 120.0
"""Seconds without a sign of life after which a worker on another machine is taken for dead."""


@cache
def _machine() -> str:
    """What a process number belongs to: a host since its last start, and in it a container."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(parts)


class Claim:
    """A file that says which process works on something.

    It is made by linking a finished file to its name, which one process of all can do, on NFS as well. While it is
    held, a thread touches it. It may be taken over at once where its process ran on this machine and is dead, and else
    when it was not touched for `STALE` seconds; both times are the file server's, so clocks need not agree.
    """

    def __init__(self, path: Path, token: str) -> None:
        self.path = path
        self.token = token
        self.lost = False
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def take(cls, path: Path) -> Claim | None:
        """The claim, or None where somebody living has it.

        Raises:
            RunError: the place cannot be written.
        """
        token = uuid.uuid4().hex
        claim = cls(path, token)
        mine = path.with_name(f".{path.name}.{token}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            mine.write_text(
                json.dumps({"host": socket.gethostname(), "machine": _machine(), "pid": os.getpid(), "token": token})
            )
            if _link(mine, path):
                return claim
            with alone(_lock_of(path)):
                return claim if claim._take_over(mine) else None
        except OSError as error:
            raise RunError(f"{path}: cannot be written ({error.strerror}). Choose --out.") from error
        finally:
            with suppress(OSError):
                mine.unlink()

    def _take_over(self, mine: Path) -> bool:
        """Put this claim in the place of a dead one's. Called alone: of two who find it dead only one may remove it."""
        found = _read(self.path)
        if found is not None:
            holder, touched = found
            if not _dead(holder) and mine.stat().st_mtime - touched <= STALE:
                return False
            self.path.unlink(missing_ok=True)
        return _link(mine, self.path)

    def keep(self) -> None:
        """Touch the file from now on."""
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat {self.path.name}", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._end.wait(HEARTBEAT):
            found = _read(self.path)
            if found is None or found[0].get("token") != self.token:
                # this process slept for longer than STALE and was taken for dead
                self.lost = True
                return
            with suppress(OSError):
                os.utime(self.path)

    def release(self) -> None:
        """Give it back."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        with alone(_lock_of(self.path)):
            found = _read(self.path)
            if found is not None and found[0].get("token") == self.token:
                self.path.unlink(missing_ok=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time, for moments. The lock of a process that dies is free at once.

    Raises:
        RunError: the place cannot be written, or cannot be locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}). Choose --out.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise RunError(
                f"{path}: cannot be locked ({error.strerror}). Choose --out on a disk that has file locks."
            ) from error
        yield


def _lock_of(claim: Path) -> Path:
    return claim.with_name(".lock")


def holders(folder: Path) -> dict[str, dict[str, Any]]:
    """The living claims of a folder: by name, host and process."""
    found = {}
    for path in sorted(folder.glob("*.claim")):
        entry = _read(path)
        if entry is not None and not _dead(entry[0]) and time.time() - entry[1] <= STALE:
            found[path.stem] = {"host": entry[0].get("host"), "pid": entry[0].get("pid")}
    return found


def _link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except FileExistsError:
        # the answer of a file server may be lost, and the request sent again: the links tell
        return source.stat().st_nlink > 1
    return True


def _read(path: Path) -> tuple[dict[str, Any], float] | None:
    """What a claim says and when it was touched; None where there is none."""
    try:
        with path.open(encoding="utf-8") as file:  # opening makes NFS ask the server for the time
            text, touched = file.read(), os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    try:
        content = json.loads(text)
    except ValueError:
        content = {}
    return (content if isinstance(content, dict) else {}), touched


def _dead(holder: dict[str, Any]) -> bool:
    """Whether it is certain that the process is gone."""
    if holder.get("machine") != _machine():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except (ProcessLookupError, KeyError, ValueError, TypeError, OverflowError):
        return True
    except PermissionError:
        return False
    return False
