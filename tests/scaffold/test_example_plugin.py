"""The example of a third party's package: installed as a user would install it, then listed, shown, tested and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "vaelab-cauchy"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process for which it is installed; nothing else sees it."""
    import shutil

    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(EXAMPLE, folder / "source")  # pip builds in the folder itself
    target = folder / "installed"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    paths = os.pathsep.join((str(ROOT), str(target)))
    return {**os.environ, "SOURCE": str(source), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def python(environment: dict[str, str], cwd: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_found_without_being_named(installed: dict[str, str], tmp_path: Path) -> None:
    shown = json.loads(python(installed, tmp_path, "vaelab", "show", "likelihood", "cauchy", "--json"))
    assert (shown["module"], shown["example"]["scale"]) == ("vaelab_cauchy.likelihood", 0.3)
    environment = {**installed, "PYTHONPATH": str(ROOT)}
    with pytest.raises(AssertionError, match="unknown likelihood kind 'cauchy'"):
        python(environment, tmp_path, "vaelab", "show", "likelihood", "cauchy")


@pytest.mark.slow
def test_its_own_tests_pass(installed: dict[str, str], tmp_path: Path) -> None:
    out = python(installed, tmp_path, "pytest", "-q", "-p", "no:cacheprovider", f"{installed['SOURCE']}/tests")
    assert "3 passed" in out
