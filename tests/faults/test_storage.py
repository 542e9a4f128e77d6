"""Disks that are full, read-only, forbidden or gone: a message, a code of its own, and nothing lost that was whole."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sklearn.datasets

import vaelab
from command_line import call
from faults.runs import begun, experiment
from vaelab.errors import RunError, StorageError
from vaelab.files import sweep_up, write_text
from vaelab.lines import LineWriter
from vaelab.records import read_lines
from vaelab.registry import ComponentConfig
from vaelab.runs import RunDirectory
from vaelab.trackers import RunInfo, Tracker
from vaelab.training.checkpoint import DamagedError, checkpoints, load_checkpoint

CONTENT = experiment("baseline", epochs=2, figures=())
STEP = 8


class At(Tracker[Any]):
    """Does something to the run when the line of a step is there."""

    def __init__(self, action: Callable[[Path], None], step: int = STEP) -> None:
        super().__init__(ComponentConfig(kind="at"))
        self.action, self.step = action, step

    def start(self, run: RunInfo) -> None:
        self.directory = run.directory

    def log(self, line: Mapping[str, Any]) -> None:
        if line["step"] == self.step and line["split"] == "train":
            self.action(self.directory)

    def figure(self, name: str, path: Path) -> None: ...

    def finish(self, summary: Mapping[str, float]) -> None: ...

    def close(self, *, failed: bool) -> None: ...


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vaelab.train(CONTENT, tmp_path_factory.mktemp("undisturbed")).path


def same_end(run: Path, other: Path) -> None:
    for name in ("weights.safetensors", "metrics.jsonl"):
        assert (run / name).read_bytes() == (other / name).read_bytes()


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As a quota does it: what grows beyond the size is refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def whole_checkpoints(run: Path) -> list[int]:
    return [load_checkpoint(path)[1]["step"] for path in checkpoints(run / "checkpoints")]


def test_a_disk_that_fills_up(undisturbed: Path, tmp_path: Path) -> None:
    def fill(_: Path) -> None:
        with suppress(OSError), (disk / "rest").open("wb", buffering=0) as file:
            while True:
                file.write(b"0" * 1000)

    with mounted(tmp_path / "disk", "size=1m") as disk:
        with pytest.raises(StorageError, match=r"disk is full.*--resume") as raised:
            vaelab.train(CONTENT, disk, trackers=[At(fill)])
        assert raised.value.exit_code == 6
        [run] = begun(disk)
        assert whole_checkpoints(run) == [3, 6]
        assert not list(run.glob("**/.*.tmp"))
        steps = [line["step"] for line in read_lines(run / "metrics.jsonl")]
        assert steps[-1] == STEP
        (disk / "rest").unlink()
        vaelab.resume(run)
        same_end(run, undisturbed)


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=4k") as disk:
        (tmp_path / "small.json").write_text(json.dumps(CONTENT))
        done = call("run", "small.json", "--out", str(disk), cwd=tmp_path)
    assert done.code == 6
    assert "disk is full" in done.err
    assert "Traceback" not in done.err


def test_read_only(tmp_path: Path, undisturbed: Path) -> None:
    with mounted(tmp_path / "disk", "size=4m") as disk:
        shutil.copytree(undisturbed, disk / "baseline" / "copy")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(StorageError, match="read-only"):
            vaelab.train(CONTENT, disk)
        with pytest.raises(StorageError, match="read-only"):
            vaelab.resume(disk / "baseline" / "copy")
        # what only reads works
        assert vaelab.load_run(disk / "baseline" / "copy").sample(2).shape == (2, 1, 8, 8)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without permission")
def test_no_permission(undisturbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # somebody else may not be able to read what the environment of the tests has installed
    shipped = sklearn.datasets.load_digits()
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: shipped)
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        shutil.copytree(undisturbed, folder / "baseline" / "copy")
        os.seteuid(65534)
        try:
            for attempt in (lambda: vaelab.train(CONTENT, folder), lambda: vaelab.resume(folder / "baseline" / "copy")):
                with pytest.raises(StorageError, match="no permission"):
                    attempt()
        finally:
            os.seteuid(0)
        assert len(begun(folder)) == 1
    finally:
        shutil.rmtree(folder)


def test_a_directory_that_vanishes(tmp_path: Path, undisturbed: Path) -> None:
    moved = tmp_path / "moved"
    with pytest.raises(StorageError, match=r"gone|removed"):
        vaelab.train(CONTENT, tmp_path / "runs", trackers=[At(lambda run: run.rename(moved))])
    assert not begun(tmp_path / "runs"), "nothing that looks like a run is made again"
    assert whole_checkpoints(moved) == [3, 6]
    vaelab.resume(moved)
    same_end(moved, undisturbed)


def test_a_quota(tmp_path: Path, undisturbed: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    tighten = At(lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limit)))
    with largest_file(10_000_000), pytest.raises(StorageError, match=r"larger than the limit.*ulimit"):
        vaelab.train(CONTENT, tmp_path, trackers=[tighten])
    [run] = begun(tmp_path)
    assert whole_checkpoints(run) == [3, 6]
    assert json.loads((run / "manifest.json").read_text())["status"] == "failed"
    vaelab.resume(run)
    same_end(run, undisturbed)


def test_a_line_that_does_not_fit_is_not_there_in_part(tmp_path: Path) -> None:
    with LineWriter(tmp_path / "lines.jsonl") as lines:
        lines.append({"step": 1, "split": "train", "loss": float("nan")})
        with largest_file(60), pytest.raises(StorageError):
            lines.append({"step": 2, "split": "x" * 100})
        lines.append({"step": 3, "split": "train"})
    assert read_lines(tmp_path / "lines.jsonl") == [
        {"step": 1, "split": "train", "loss": None},
        {"step": 3, "split": "train"},
    ]


def test_a_file_that_is_replaced_is_never_there_in_part(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")
    with largest_file(10), pytest.raises(StorageError):
        write_text(tmp_path / "file", "x" * 100)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"
    (tmp_path / ".file.123.tmp").write_text("of a process that was killed")
    sweep_up(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_damaged_checkpoint(damage: str, undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    before, last = checkpoints(run / "checkpoints")
    content = bytearray((last / "tensors.safetensors").read_bytes())
    content[len(content) // 2] ^= 4
    (last / "tensors.safetensors").write_bytes(content if damage == "flipped" else content[:-100])
    done = call("run", "--resume", str(run), cwd=tmp_path)
    assert done.code == 4
    for words in (f"{last.name}/tensors.safetensors is damaged", before.name, "--resume-from previous"):
        assert words in done.err
    done = call("run", "--resume", str(run), "--resume-from", "previous", cwd=tmp_path)
    assert done.code == 0, done.err
    same_end(run, undisturbed)
    assert (last.parent / f"{last.name}.set-aside").is_dir()
    (run / "weights.safetensors").write_bytes((run / "weights.safetensors").read_bytes()[:-1] + b"?")
    with pytest.raises(RunError, match=r"weights.safetensors is damaged.*--resume"):
        _ = vaelab.load_run(run).model


def test_no_checkpoint_before_the_damaged_one(undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    shutil.rmtree(checkpoints(run / "checkpoints")[0])
    with pytest.raises(RunError, match="no checkpoint before the newest"):
        vaelab.resume(run, previous=True)
    (checkpoints(run / "checkpoints")[0] / "state.json").unlink()
    with pytest.raises(DamagedError, match="There is no older one"):
        vaelab.resume(run)


def test_two_processes_cannot_write_one_run(undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    with RunDirectory(run).locked():
        for attempt in (lambda: vaelab.resume(run), lambda: vaelab.experiment.evaluate_run(vaelab.load_run(run))):
            with pytest.raises(RunError, match="another process writes this run"):
                attempt()


def test_lines_that_were_lost_are_told(undisturbed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:3]))
    vaelab.resume(run)
    assert "what is missing stays so" in caplog.text
