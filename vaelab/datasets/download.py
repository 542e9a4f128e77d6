"""Downloading with checksums, without hanging on a dead network and without half a file in the cache."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vaelab.files import sha256

#: Seconds to wait for a connection and for each piece of an answer.
TIMEOUT = 4.0


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
        with _socket_timeout(TIMEOUT):
            for file in files:
                _download_one(file, temporary, reached)
        for file in files:
            os.replace(temporary / file.name, folder / file.name)
    except OSError as error:
        raise DownloadError(f"cannot write to {folder}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _download_one(file: Remote, folder: Path, reached: set[str]) -> None:
    from torchvision.datasets.utils import download_url

    answers = []
    for url in file.urls:
        if url not in reached:
            answers.append(f"{url}: no connection within {TIMEOUT:g} s")
            continue
        try:
            download_url(url, str(folder), filename=file.name, md5=file.md5)
            if sha256(folder / file.name).startswith(file.sha256):
                return
            (folder / file.name).unlink()
            answers.append(f"{url}: its SHA-256 does not begin with {file.sha256}")
        except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
            said = str(error) or type(error).__name__
            (folder / file.name).unlink(missing_ok=True)
            # what torchvision says of a wrong checksum could also mean that there is no file
            wrong = "corrupted" in said
            answers.append(f"{url}: {f'its MD5 is not {file.md5}' if wrong else said}")
    raise DownloadError("; ".join(answers) or f"no address is known for {file.name}")


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """torchvision takes no time-out, so the default of new sockets is set while it works."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


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
