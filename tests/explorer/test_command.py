"""The command: it prints the address, answers, ends with Ctrl-C, and says what is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import vaelab
from command_line import ROOT, call
from explorer.conftest import Page
from vaelab.explorer import start
from vaelab.explorer.handler import TOKEN

Trained = Callable[[str], vaelab.Run]


def is_free(port: int) -> bool:
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_stopped_and_frees_the_port(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
):
    found: list[tuple[int, int, bool]] = []
    serve = start.Explorer.serve

    def served(self: start.Explorer) -> None:
        def page() -> None:
            status = Page(self).send("POST", "/api/describe", b"{}")[0]
            port = self.server.server_port
            found.append((status, port, is_free(port)))
            os.kill(os.getpid(), number)

        threading.Thread(target=page).start()
        serve(self)

    monkeypatch.setattr(start.Explorer, "serve", served)
    done = call("explore", str(trained("flat").path), "--no-browser", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    [(status, port, free)] = found
    assert (status, free) == (200, False)
    assert is_free(port)


@pytest.mark.slow
def test_it_is_stopped_as_a_process(trained: Trained, tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    line = ["explore", str(trained("flat").path), "--no-browser", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "vaelab", *line],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            printed = ""
            while not printed.endswith("}\n"):
                printed += process.stdout.readline()
            told = json.loads(printed)
            base, _, token = told["url"].partition("#")
            assert told["runs"] == [str(trained("flat").path)]
            request = urllib.request.Request(
                f"{base}api/describe",
                b"{}",
                {"Content-Type": "application/json", "Origin": base.rstrip("/"), TOKEN: token},
            )
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert json.load(answer)["runs"][0]["name"] == "flat"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""
        finally:
            process.kill()
    assert is_free(int(base.rstrip("/").rpartition(":")[2]))


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(trained: Trained, tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = call("explore", str(trained("flat").path), "--port", str(port), "--no-browser", cwd=tmp_path)
    assert done.code == 1
    assert f"--port {port}: cannot be listened on" in done.err
    assert "leave --port out" in done.err


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("explore", 2, "say which run"),
        ("explore nothing", 4, "'nothing' is no run"),
        ("explore nothing --port 70000", 2, "less than or equal to 65535"),
        ("explore nothing --sampler prio", 2, "Did you mean 'prior'?"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, line: str, code: int, words: str):
    done = call(*line.split(), cwd=tmp_path)
    assert (done.code, words in re.sub(r"\s+", " ", done.err)) == (code, True), done.err


@pytest.mark.parametrize("flags", [[], ["--quiet"], ["--json"], ["--no-browser"]], ids=str)
def test_what_is_printed_and_opened(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
):
    opened: list[str] = []
    browser = SimpleNamespace(open=opened.append)
    monkeypatch.setattr(start.webbrowser, "get", lambda: browser)
    monkeypatch.setattr(start.Explorer, "serve", lambda self: self.server.server_close())
    done = call("explore", str(trained("flat").path), *flags, cwd=tmp_path)
    assert done.code == 0, done.err
    [url] = re.findall(r"http://127\.0\.0\.1:\d+/#[\w-]{40,}", done.out) or [""]
    assert (url != "") == ("--quiet" not in flags)
    assert len(opened) == ("--no-browser" not in flags)
    assert "--json" not in flags or json.loads(done.out)["url"] == opened[0]


def test_a_browser_of_the_terminal_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    def none() -> Any:
        raise start.webbrowser.Error

    monkeypatch.setattr(start.webbrowser, "get", none)
    assert not start.open_browser("http://127.0.0.1:1/")
    monkeypatch.setattr(start.webbrowser, "get", lambda: start.webbrowser.GenericBrowser("true"))
    assert not start.open_browser("http://127.0.0.1:1/")
