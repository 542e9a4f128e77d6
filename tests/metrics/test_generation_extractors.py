"""The networks behind metrics of generation: the shipped one, the one that is downloaded, and bad files."""

from __future__ import annotations

import hashlib
import http.server
import io
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from vaelab.datasets import Remote
from vaelab.datasets.locate import MissingDataError
from vaelab.errors import DataError
from vaelab.extractors import digits_network, digits_training, inception
from vaelab.extractors.digits import DigitsConfig, DigitsExtractor
from vaelab.extractors.inception import InceptionConfig, InceptionExtractor
from vaelab.nets.inception import InceptionFeatures, inception_2015
from vaelab.registry import DATASETS
from vaelab.types import DataSpec


def digits(number: int):
    data = DATASETS.build(DATASETS["mnist"].config(offline_fallback=True)).load()
    return data.test.fetch(torch.arange(number))


def test_the_shipped_network_knows_digits():
    trained = digits_network.read()
    assert digits_network.SHIPPED.stat().st_size < 200_000
    assert (trained.facts["source"], trained.facts["seed"]) == ("mnist", "0")
    assert float(trained.facts["test_accuracy"]) >= 0.985
    assert trained.checksum == trained.facts["sha256"]
    assert sum(buffer.numel() for buffer in trained.network.buffers()) == 33_450
    assert not list(trained.network.parameters())
    batch = digits(1000)
    assert digits_network.accuracy(trained.network, batch.x, batch.y) > 0.97
    assert digits_network.accuracy(trained.network, batch.x.bernoulli(), batch.y) > 0.96
    # upside down they are something else, so the numbers above are no accident
    assert digits_network.accuracy(trained.network, batch.x.flip(2, 3), batch.y) < 0.7


def test_features_are_what_the_logits_are_made_of():
    extractor = DigitsExtractor(DigitsConfig())
    x = torch.rand(3, 1, 28, 28)
    found = extractor(x)
    assert found.features.shape == (3, 64)
    assert found.features.min() < 0
    head = load_file(digits_network.SHIPPED)
    logits = found.features.relu() @ head["head.weight"].T + head["head.bias"]
    assert torch.allclose(found.logits, logits, atol=1e-5)
    assert extractor.identity == "digits:4be162cc"
    assert torch.equal(extractor(3 * x - 1).features, extractor((3 * x - 1).clamp(0, 1)).features)
    small = F.interpolate(x, (14, 14), mode="area")
    resized = F.interpolate(small, (28, 28), mode="bilinear", antialias=True)
    assert torch.equal(extractor(small).features, extractor(resized).features)


def test_training_is_repeatable_and_leaves_no_trace():
    x, y = torch.rand(200, 1, 28, 28), torch.randint(10, (200,))
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.no_grad():
        one, two, other = (digits_training.train(x, y, seed, 1) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    first, second, third = map(digits_network.checksum_of, (one, two, other))
    assert first == second != third
    half = digits_training.half_binarised(x)
    binary = ((half == 0) | (half == 1)).flatten(1).all(1)
    assert 60 < binary.sum() < 140
    assert torch.equal(half[~binary], x[~binary])


def test_bad_files_of_the_digits_network(tmp_path):
    path = tmp_path / "digits.safetensors"
    with pytest.raises(DataError, match=r"extractor 'digits' cannot be read.*digits_training"):
        digits_network.read(path)
    path.write_bytes(b"no tensors")
    with pytest.raises(DataError, match="cannot be read"):
        digits_network.read(path)
    save_file({"features.conv1.weight": torch.zeros(3)}, path)
    with pytest.raises(DataError, match="cannot be read"):
        digits_network.read(path)
    weights = load_file(digits_network.SHIPPED)
    weights["head.bias"][0] += 1e-3
    save_file(weights, path, metadata=digits_network.read().facts)
    with pytest.raises(DataError, match="not those that were trained"):
        digits_network.read(path)


@pytest.mark.slow
def test_training_again_yields_the_shipped_accuracy(tmp_path):
    path = tmp_path / "digits.safetensors"
    facts = digits_training.make(path)
    shipped = digits_network.read()
    if facts["source"] != shipped.facts["source"]:
        pytest.skip("MNIST is not here")
    assert digits_network.read(path).facts == facts
    for name in ("test_accuracy", "test_accuracy_binarised"):
        assert abs(float(facts[name]) - float(shipped.facts[name])) < 0.004


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no proxy."""
    monkeypatch.delenv("VAELAB_DATA", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vaelab" / "extractors"


@pytest.fixture
def served(tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A server with a small stand-in for the weights of Inception."""
    content = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, content)
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "weights.pth").write_bytes(content.getvalue())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    checksum = hashlib.sha256(content.getvalue()).hexdigest()
    url = f"http://127.0.0.1:{running.server_port}/weights.pth"

    def remote(sha256: str = checksum[:8]) -> None:
        monkeypatch.setattr(inception, "WEIGHTS", Remote("weights.pth", None, (url,), sha256))

    remote()
    yield SimpleNamespace(content=content.getvalue(), checksum=checksum, remote=remote, folder=folder)
    running.shutdown()
    running.server_close()


class StandIn(nn.Module):
    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, x):
        self.seen.append(x)
        return x.mean((2, 3)), x.amax((2, 3))


def test_weights_are_downloaded_once_and_checked(served, nowhere, monkeypatch):
    monkeypatch.setattr("vaelab.nets.inception.InceptionFeatures", StandIn)
    extractor = InceptionExtractor(InceptionConfig(batch_size=2))
    assert (nowhere / "weights.pth").read_bytes() == served.content
    assert extractor.checksum == served.checksum
    assert extractor.identity == f"inception:{served.checksum[:8]}"
    (served.folder / "weights.pth").unlink()
    InceptionExtractor(InceptionConfig())
    # grey in three channels, 299 x 299, in [-1, 1], in parts
    grey = torch.tensor([0.0, 0.25, 1.0]).reshape(3, 1, 1, 1).expand(3, 1, 28, 28)
    found = extractor(grey)
    assert [x.shape for x in extractor.network.seen] == [(2, 3, 299, 299), (1, 3, 299, 299)]
    assert torch.allclose(found.features, torch.tensor([[-1.0], [-0.5], [1.0]]).expand(3, 3), atol=1e-5)
    extractor.check(DataSpec((3, 32, 32), "unit"))
    with pytest.raises(DataError, match="2 channels"):
        extractor.check(DataSpec((2, 32, 32), "unit"))
    # a file in the cache that is another one
    (nowhere / "weights.pth").write_bytes(b"another")
    with pytest.raises(DataError, match="SHA-256 begins with"):
        InceptionExtractor(InceptionConfig())


def test_a_wrong_download_is_not_kept(served, nowhere):
    served.remote("00000000")
    with pytest.raises(MissingDataError, match="SHA-256 does not begin with 00000000"):
        InceptionExtractor(InceptionConfig())
    assert not list(nowhere.iterdir())


def test_a_file_of_another_network_is_refused(served):
    with pytest.raises(DataError, match="extractor 'inception' cannot be read"):
        InceptionExtractor(InceptionConfig())


def test_no_network(nowhere, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/weights.pth"
    monkeypatch.setattr(inception, "WEIGHTS", Remote("weights.pth", None, (url,), "6726825d"))
    with pytest.raises(MissingDataError, match=r"weights of extractor 'inception' were not found(.|\n)*no connection"):
        InceptionExtractor(InceptionConfig())


def test_inception_is_the_network_of_2015(tmp_path):
    """Its pooling branches average without the padding, the last takes a maximum; all else is torchvision's."""
    network = inception_2015().eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == 23_850_960
    with torch.no_grad():
        for name in ("Mixed_5b", "Mixed_6c", "Mixed_7b", "Mixed_7c"):
            block = getattr(network, name)
            width = block.branch_pool.conv.in_channels
            x = torch.rand(1, width, 4, 4)
            windows = F.unfold(F.pad(x, (1, 1, 1, 1), value=torch.nan), 3).reshape(1, width, 9, 16)
            pooled = windows.nan_to_num(-1).amax(2) if name == "Mixed_7c" else windows.nanmean(2)
            branch = block.branch_pool(pooled.reshape(x.shape))
            assert torch.allclose(block(x)[:, -branch.shape[1] :], branch, atol=1e-5), name
        path = tmp_path / "weights.pth"
        torch.save(network.state_dict(), path)
        features = InceptionFeatures(path).eval()
        x = torch.rand(1, 3, 299, 299) * 2 - 1
        found, logits = features(x)
        assert found.shape == (1, 2048)
        assert torch.allclose(logits, network(x), atol=1e-4)
    assert not list(features.parameters())
