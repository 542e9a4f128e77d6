"""What a result must say of where it comes from."""

from __future__ import annotations

import hashlib
import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from vaelab.config import Experiment

_PACKAGES = ("vaelab", "torch", "torchvision", "numpy", "pydantic", "safetensors", "vector-quantize-pytorch")


def config_hash(experiment: Experiment) -> str:
    """SHA-256 of the resolved experiment."""
    return hashlib.sha256(experiment.to_json().encode()).hexdigest()


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, machine and code."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = torch.__version__ if package == "torch" else version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return {
        "versions": {"python": platform.python_version(), **versions},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "git": _git(),
    }


def _git() -> dict[str, Any] | None:
    """Commit of the vaelab that runs, where it runs from a git checkout."""
    here = Path(__file__).resolve().parent
    try:
        commit = _command(here, "rev-parse", "HEAD")
        changed = bool(_command(here, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "uncommitted_changes": changed}


def _command(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def peak_memory(device: torch.device) -> dict[str, int]:
    """Greatest memory so far, bytes: of the process, and of the GPU where there is one."""
    unit = 1 if sys.platform == "darwin" else 1024
    memory = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if device.type == "cuda":
        memory["gpu"] = torch.cuda.max_memory_allocated(device)
    return memory
