"""Following a run by its files: while it goes, after it ended, and where its process is gone."""

from __future__ import annotations

import fcntl
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from vaelab import watch
from vaelab.errors import RunError
from vaelab.health import Finding
from vaelab.lines import keep_until
from vaelab.runs import RunDirectory


class Fake:
    """A run whose process does one thing each time the watcher looks away."""

    def __init__(self, folder: Path) -> None:
        self.run = RunDirectory(folder)
        self.run.path.mkdir(exist_ok=True)
        self.run.config.write_text('{"name": "tiny"}')
        self.lock = (self.run.path / ".lock").open("w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.out = io.StringIO()
        self.slept = 0

    def begins(self, step: int = 0) -> None:
        session = {"started": "2026-01-01T00:00:00+00:00", "step": step, "total_steps": 40, "steps_per_epoch": 10}
        self.run.update_manifest(status="running", weights_of_step=None, session={**session, "batch": 8})

    def line(self, step: int, split: str = "train", **more: Any) -> None:
        values = {"loss": 100.0 - step} if split == "train" else {"negative_elbo": 99.0}
        line = {"split": split, "step": step, "epoch": step / 10, **values, **more}
        with self.run.metrics.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def finding(self, step: int) -> None:
        found = Finding("kl_vanishing", "problem", "The KL vanishes", "0.01 nats.", "Because.", "Do.", step)
        with self.run.health.open("a") as file:
            file.write(json.dumps({"split": "finding", "step": step, "finding": found.to_json()}) + "\n")

    def dies(self) -> None:
        self.lock.close()

    def ends(self, status: str, **more: Any) -> None:
        self.run.update_manifest(status=status, **more)
        self.dies()

    def follow(self, *acts: Callable[[], None]) -> str:
        acting = iter(acts)

        def sleep(seconds: float) -> None:
            self.slept += 1
            next(acting, lambda: None)()

        watch.follow(self.run.path, Console(file=self.out, width=200), sleep)
        assert not list(acting), "the watcher left before the run ended"
        return self.out.getvalue()


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path / "run")


def test_a_run_is_followed_from_its_beginning_to_its_end(fake: Fake):
    out = fake.follow(
        fake.begins,
        lambda: fake.line(10),
        lambda: fake.line(10, "validation"),
        lambda: fake.line(20),
        lambda: fake.finding(20),
        lambda: fake.line(30),
        lambda: fake.line(40),
        lambda: fake.run.update_manifest(weights_of_step=40),
        lambda: fake.ends("finished"),
    )
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[1].startswith("epoch 1/4  loss 90.00")
    assert "data/s" in lines[1]
    assert "s left" in lines[1]
    assert lines[2] == "  validation after epoch 1: negative_elbo 99.00"
    assert lines[3].startswith("epoch 2/4")
    assert "problem (step 20): The KL vanishes. 0.01 nats. Likely cause: Because. Remedy: Do." in lines[4]
    assert lines[5:] == [lines[5], lines[6], "evaluating", "finished"]
    assert lines[6].startswith("epoch 4/4  loss 60.00")


def test_one_that_looks_in_later_gets_the_gist(fake: Fake):
    fake.begins()
    for step in range(1, 31):
        fake.line(step)
    fake.finding(7)
    out = fake.follow(lambda: fake.line(40), lambda: fake.ends("finished"))
    assert out.count("epoch 3/4") == 1
    assert "epoch 1/4" not in out
    assert "problem (step 7)" in out
    again = fake.follow()
    assert again.endswith("finished\n"), "a run that has ended is shown at once"


def test_runs_that_end_badly_say_how(fake: Fake):
    fake.begins()
    with pytest.raises(RunError, match=r"was stopped. Go on with: python -m vaelab run --resume"):
        fake.follow(lambda: fake.ends("stopped"))
    fake.run.update_manifest(status="failed", error="NonFiniteError: loss")
    with pytest.raises(RunError, match="the run failed: NonFiniteError: loss"):
        fake.follow()


def test_a_killed_run_is_noticed_by_its_lock(fake: Fake):
    fake.begins()
    fake.line(10)
    with pytest.raises(RunError, match="no process works on it"):
        fake.follow(fake.dies)
    assert fake.slept * watch.POLL >= watch.QUIET
    assert watch.look(fake.run.path).status == "lost"


def test_lines_that_a_resumed_run_writes_again(fake: Fake):
    fake.begins()
    for step in (10, 20, 30):
        fake.line(step)

    def resumes() -> None:
        keep_until(fake.run.metrics, 10)
        fake.line(20, loss=55.0)

    out = fake.follow(resumes, lambda: fake.ends("finished"))
    assert "epoch 2/4  loss 55.00" in out


def test_how_far_it_is_in_numbers(fake: Fake):
    fake.begins()
    fake.run.update_manifest(session={**fake.run.read_manifest()["session"], "started": now(-20), "step": 10})
    fake.line(20, kl=3.0)
    fake.line(20, "validation")
    fake.finding(20)
    found = watch.look(fake.run.path).to_json()
    assert (found["status"], found["step"], found["total_steps"], found["epoch"]) == ("running", 20, 40, 2.0)
    assert found["terms"] == {"loss": 80.0, "kl": 3.0}
    assert found["validation"] == {"negative_elbo": 99.0}
    assert found["data_per_second"] == pytest.approx(10 * 8 / 20, rel=0.2)
    assert found["seconds_left"] == pytest.approx(40, rel=0.2)
    assert [finding["kind"] for finding in found["findings"]] == ["kl_vanishing"]
    json.dumps(found)
    fake.run.update_manifest(weights_of_step=40)
    assert watch.look(fake.run.path).status == "evaluating"


def now(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time.time() + seconds, UTC).isoformat()
