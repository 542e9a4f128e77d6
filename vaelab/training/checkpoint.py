"""Checkpoints: tensors in safetensors, the rest in JSON, nothing pickled."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vaelab.errors import RunError
from vaelab.files import replacing, sha256, storage_error, write_json
from vaelab.migrations import CHECKPOINT

_NAME = re.compile(r"step-(\d{9,})")
_TENSORS, _STATE = "tensors.safetensors", "state.json"


class DamagedError(RunError):
    """A checkpoint is not what was written. Exit code 4."""


def save_weights(model: nn.Module, path: Path) -> None:
    """A model's weights as one safetensors file, atomically."""
    with replacing(path) as temporary:
        _save(model.state_dict(), temporary)


def load_weights(model: nn.Module, path: Path) -> None:
    """Load weights, which must fit exactly.

    Raises:
        RunError: the file is missing, damaged or of another model.
    """
    tensors = _read(path)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunError(f"{path}: these are not this model's weights. {str(error).splitlines()[-1].strip()}") from error


def save_checkpoint(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
    """Write `step-NNNNNNNNN` in `folder`: all of it or none.

    Args:
        folder: of the checkpoints.
        step: optimiser steps done.
        tensors: by name.
        state: what JSON can hold.

    Raises:
        StorageError: it cannot be written; those that are there already stay as they are.
    """
    path = folder / f"step-{step:09d}"
    with replacing(path) as temporary:
        temporary.mkdir()
        _save(tensors, temporary / _TENSORS)
        write_json(temporary / _STATE, {"format": CHECKPOINT.current, "step": step, **state})
        sums = {name: sha256(temporary / name) for name in (_TENSORS, _STATE)}
        write_json(temporary / "checksums.json", sums)
    return path


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint and check its checksums.

    Raises:
        DamagedError: a file is missing, cut off or changed.
        RunError: the format is of a newer vaelab.
    """
    try:
        sums = json.loads((path / "checksums.json").read_text())
        for name in (_TENSORS, _STATE):
            if sha256(path / name) != sums[name]:
                raise DamagedError(f"{path / name} is damaged: its checksum is not the one recorded.")
        state = json.loads((path / _STATE).read_text())
        state = CHECKPOINT.apply(state, state["format"], path)
    except (OSError, ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
        raise DamagedError(f"{path}: not a readable checkpoint ({type(error).__name__}: {error}).") from error
    return _read(path / _TENSORS), state


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints, the oldest first."""
    if not folder.is_dir():
        return []
    found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)) and path.is_dir()]
    return [path for _, path in sorted(found, key=lambda pair: int(pair[0].group(1)))]


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints."""
    for path in checkpoints(folder)[:-keep]:
        gone = path.with_name(f".{path.name}.tmp")
        path.rename(gone)  # at once, so that none is ever there in part
        shutil.rmtree(gone, ignore_errors=True)


def set_aside(path: Path) -> Path:
    """Rename a checkpoint so that no run goes on from it; returns its new path."""
    aside = path.with_name(f"{path.name}.set-aside")
    if aside.exists():
        shutil.rmtree(aside)
    return path.rename(aside)


def flatten_optimiser(prefix: str, state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state dict, its tensors and what JSON can hold apart."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{prefix}{index}/{name}"] = value
            else:
                numbers.setdefault(str(index), {})[name] = value
    return tensors, {"groups": state["param_groups"], "numbers": numbers}


def unflatten_optimiser(prefix: str, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten_optimiser`."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        if name.startswith(prefix):
            index, key = name.removeprefix(prefix).split("/", 1)
            state.setdefault(int(index), {})[key] = value
    for index, values in rest["numbers"].items():
        state.setdefault(int(index), {}).update(values)
    return {"state": state, "param_groups": rest["groups"]}


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        save_file(_contiguous(tensors), path)
    except SafetensorError as error:  # which is no OSError, whatever the system said
        raise storage_error(path, error) from error


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # clones where two names share memory: safetensors stores each tensor on its own
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach()
        shared = tensor.data_ptr() in seen
        seen.add(tensor.data_ptr())
        result[name] = tensor.clone().contiguous() if shared else tensor.contiguous()
    return result


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DamagedError(f"{path}: cannot be read ({error})") from error
