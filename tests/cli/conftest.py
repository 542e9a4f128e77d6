"""Fixtures of the command line's tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import EXPERIMENT, Cli, Done, call


@pytest.fixture(name="cli")
def _cli(tmp_path: Path) -> Cli:
    """Runs `python -m vaelab` in an empty folder that holds `tiny.json`."""
    (tmp_path / "tiny.json").write_text(json.dumps(EXPERIMENT))
    return lambda *arguments: call(*arguments, cwd=tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A finished run and what its command printed; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.json").write_text(json.dumps(EXPERIMENT))
    done = call("run", "tiny.json", cwd=folder)
    assert done.code == 0, done.err
    return next(folder.glob("runs/tiny/*")), done
