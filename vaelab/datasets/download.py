"""Downloading with checksums, without hanging on a dead network and without half a file in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import shutil
import socket
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaelab.files import sha256

#: Seconds to wait for a connection and for each piece of an answer.
TIMEOUT = 4.0

#: Bytes of one file; the largest that is downloaded has 170 MB.
MAX_BYTES = 2**30


class DownloadError(Exception):
    """A file could not be had from any of its addresses; the message says what each answered."""


@dataclass(frozen=True)
class Remote:
    """A file, its checksums and the addresses it can be had from.

    Attributes:
        name: of the file.
        md5: its MD5, or None where only the other checksum is known.
        urls: where it can be had.
        sha256: the beginning of its SHA-256, or empty.
    """

    name: str
    md5: str | None
    urls: tuple[str, ...]
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.md5 is None and not self.sha256:
            raise ValueError(f"{self.name}: a file is downloaded with a checksum only")


def download(files: Sequence[Remote], folder: Path) -> None:
    """Put files into a folder; all of them, each with the right checksum, or none.

    They arrive in a temporary folder on the same disk and are renamed one by one when the last is complete.
    Two processes that do this at once replace a file by the same file.

    Raises:
        DownloadError: no network, a wrong checksum, or a folder that cannot be written.
    """
    reached = _reachable({url for file in files for url in file.urls})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".download-", dir=folder))
    except OSError as error:
        raise DownloadError(f"cannot write to {folder}: {error}") from error
    try:
        for file in files:
            _download_one(file, temporary, reached)
        for file in files:
            os.replace(temporary / file.name, folder / file.name)
    except OSError as error:
        raise DownloadError(f"cannot write to {folder}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _download_one(file: Remote, folder: Path, reached: set[str]) -> None:
    answers = []
    for url in file.urls:
        if not _secure(url):
            answers.append(f"{url}: only HTTPS is used")
            continue
        if url not in reached:
            answers.append(f"{url}: no connection within {TIMEOUT:g} s")
            continue
        try:
            _fetch(url, folder / file.name)
            wrong = _wrong_checksum(file, folder / file.name)
            if wrong is None:
                return
            answers.append(f"{url}: {wrong}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            answers.append(f"{url}: {str(error) or type(error).__name__}")
        (folder / file.name).unlink(missing_ok=True)
    raise DownloadError("; ".join(answers) or f"no address is known for {file.name}")


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirection to HTTPS alone."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        if not _secure(newurl):
            raise ValueError(f"it leads to {newurl}, and only HTTPS is used")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(url: str, path: Path) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "vaelab"})
    opener = urllib.request.build_opener(_SecureRedirects)
    with opener.open(request, timeout=TIMEOUT) as answer, path.open("wb") as file:
        length = 0
        while piece := answer.read(2**20):
            length += len(piece)
            if length > MAX_BYTES:
                raise ValueError(f"it sends more than {MAX_BYTES:,} bytes")
            file.write(piece)


def _wrong_checksum(file: Remote, path: Path) -> str | None:
    if not sha256(path).startswith(file.sha256):
        return f"its SHA-256 does not begin with {file.sha256}"
    with path.open("rb") as stream:
        # published so; it cannot be chosen to fit by who does not write the published file as well
        md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return None if file.md5 in (None, md5) else f"its MD5 is not {file.md5}"


def _secure(url: str) -> bool:
    """HTTPS, or this machine itself."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"))


def _reachable(urls: set[str]) -> set[str]:
    """Those addresses whose server accepts a connection.

    All are tried at once, in threads, because a name server that does not answer obeys no time-out of a
    socket.
    """
    hosts = {url: _host(url) for url in urls}
    answered: set[tuple[str, int]] = set()

    def knock(host: tuple[str, int]) -> None:
        with contextlib.suppress(OSError), socket.create_connection(host, TIMEOUT):
            answered.add(host)

    threads = [threading.Thread(target=knock, args=(host,), daemon=True) for host in set(hosts.values())]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + TIMEOUT
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    done = set(answered)
    return {url for url, host in hosts.items() if host in done}


def _host(url: str) -> tuple[str, int]:
    """Host and port that a request for `url` connects to: the server's, or the proxy's where one is set."""
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urllib.parse.urlsplit(proxy if "//" in proxy else "//" + proxy)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
