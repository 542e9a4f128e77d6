"""A claim is one process's, and a dead one's is taken over."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sweep.workers import start
from vaelab.errors import RunError
from vaelab.sweep import claims
from vaelab.sweep.claims import Claim, alone, holders


def write(path: Path, *, age: float = 0.0, **changes: Any) -> None:
    """A claim of another process."""
    content = {"host": "elsewhere", "machine": "elsewhere", "pid": 1, "token": "other", **changes}
    path.write_text(json.dumps(content))
    touched = time.time() - age
    os.utime(path, (touched, touched))


def test_one_at_a_time(tmp_path: Path):
    first = Claim.take(tmp_path / "a.claim")
    assert first is not None
    assert Claim.take(tmp_path / "a.claim") is None
    assert holders(tmp_path)["a"]["pid"] == os.getpid()
    first.release()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"], "no temporary file is left"
    second = Claim.take(tmp_path / "a.claim")
    assert second is not None
    second.release()


@pytest.mark.parametrize(("age", "taken"), [(0, False), (claims.STALE - 20, False), (claims.STALE + 20, True)])
def test_another_machines_claim_is_taken_over_when_it_is_stale(tmp_path: Path, age: float, taken: bool):
    write(tmp_path / "a.claim", age=age)
    assert (Claim.take(tmp_path / "a.claim") is not None) == taken


def test_a_dead_process_of_this_machine_loses_its_claim_at_once(tmp_path: Path):
    process = start(os.getpid)
    process.join()
    write(tmp_path / "a.claim", machine=claims._machine(), pid=process.pid)
    assert Claim.take(tmp_path / "a.claim") is not None


def test_a_living_process_of_this_machine_keeps_it(tmp_path: Path):
    write(tmp_path / "a.claim", machine=claims._machine(), pid=os.getppid())
    assert Claim.take(tmp_path / "a.claim") is None


def test_a_damaged_claim_is_taken_over_only_when_it_is_stale(tmp_path: Path):
    path = tmp_path / "a.claim"
    path.write_text("{")
    assert Claim.take(path) is None
    os.utime(path, (0, 0))
    assert Claim.take(path) is not None


def test_of_many_one_takes_a_stale_claim(tmp_path: Path):
    for number in range(20):
        path = tmp_path / f"{number}.claim"
        write(path, age=1e6)
        taken: list[Claim] = []
        barrier = threading.Barrier(6)

        def take(path: Path = path, taken: list[Claim] = taken, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            if (claim := Claim.take(path)) is not None:
                taken.append(claim)

        threads = [threading.Thread(target=take) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == 1
        assert json.loads(path.read_text())["token"] == taken[0].token
    assert len(list(tmp_path.iterdir())) == 21


def test_alone_keeps_others_out(tmp_path: Path):
    """An addition that reads, waits and writes loses counts where two do it at once."""
    counter = tmp_path / "counter"
    counter.write_text("0")

    def add() -> None:
        for _ in range(5):
            with alone(tmp_path / "lock"):
                before = int(counter.read_text())
                time.sleep(0.001)
                counter.write_text(str(before + 1))

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == "15"


def _until(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_heartbeat_touches_the_file_until_it_is_another_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(claims, "HEARTBEAT", 0.01)
    path = tmp_path / "a.claim"
    claim = Claim.take(path)
    assert claim is not None
    claim.keep()
    os.utime(path, (0, 0))
    _until(lambda: path.stat().st_mtime > 0)
    assert not claim.lost
    replacement = tmp_path / "other"
    write(replacement)
    os.replace(replacement, path)
    _until(lambda: claim.lost)
    claim.release()
    assert json.loads(path.read_text())["token"] == "other", "what is another one's is not removed"


def test_a_place_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="Choose --out"):
        Claim.take(tmp_path / "file" / "a.claim")
