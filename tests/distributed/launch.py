"""Starting several processes of one machine, as torchrun does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path


def environment(rank: int, number: int, port: int) -> dict[str, str]:
    return os.environ | {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(number),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }


def start_all(number: int, *command: str, cwd: Path | None = None) -> list[subprocess.Popen[str]]:
    """Start `python COMMAND` once for each rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        subprocess.Popen(
            [sys.executable, *command],
            env=environment(rank, number, port),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
        )
        for rank in range(number)
    ]


def finish_all(started: list[subprocess.Popen[str]], timeout: float = 300) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each; none is left running."""
    try:
        ended = [process.communicate(timeout=timeout) for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, out, err) for process, (out, err) in zip(started, ended, strict=True)]
