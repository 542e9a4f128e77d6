"""Components to begin with: they pass their own tests as they are written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import ROOT, call
from vaelab.errors import ConfigError
from vaelab.registry import FAMILIES
from vaelab.scaffold import new_component, templates


def passes(folder: Path) -> None:
    """Their own tests and ruff, in a process that knows nothing of this one."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,B,UP", "--line-length", "120", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_a_component_passes_as_written(tmp_path: Path) -> None:
    done = call("new", "component", "divergence", "my_square", "--package", "mine", cwd=tmp_path)
    assert done.code == 0, done.err
    for name in (
        "mine/my_square.py",
        "mine/__init__.py",
        "tests/test_my_square.py",
        "docs/my_square.md",
        "pyproject.toml",
    ):
        assert (tmp_path / name).is_file()
        assert name in done.out
    assert 'my_square = "mine.my_square"' in (tmp_path / "pyproject.toml").read_text()
    passes(tmp_path)
    again = call("new", "component", "prior", "my_prior", "--package", "mine", "--json", cwd=tmp_path)
    assert json.loads(again.out)["entry_point"] == 'my_prior = "mine.my_prior"'
    assert "my_prior" not in (tmp_path / "pyproject.toml").read_text(), "a file of the user is left alone"


@pytest.mark.slow
def test_every_component_passes_as_written(tmp_path: Path) -> None:
    for family in templates():
        new_component(family, f"my_{family}", folder=tmp_path)
    passes(tmp_path)


def test_there_is_one_for_most_families(tmp_path: Path) -> None:
    assert set(templates()) == set(FAMILIES) - {"objective", "sampler", "extractor"}
    for family in templates():
        files = new_component(family, f"my_{family}", folder=tmp_path).files
        for path in files:
            if path.suffix == ".py":
                compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize(
    ("family", "name", "package", "words"),
    [
        ("priors", "x", "mine", "Did you mean 'prior'"),
        ("objective", "x", "mine", "there is no objective to begin with"),
        ("prior", "My Prior", "mine", "is no module"),
        ("prior", "../x", "mine", "is no module"),
        ("prior", "x", "a/b", "is no module"),
        ("prior", "vamp", "mine", "taken by vaelab.priors.vamp"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, family: str, name: str, package: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        new_component(family, name, package=package, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced(tmp_path: Path) -> None:
    new_component("prior", "mine", folder=tmp_path)
    with pytest.raises(ConfigError, match=r"mine\.py exists"):
        new_component("encoder", "mine", folder=tmp_path)
