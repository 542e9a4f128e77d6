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
from vaelab.files import replacing, sha256, write_json

FORMAT = 1
_NAME = re.compile(r"step-(\d{9})")


def save_weights(model: nn.Module, path: Path) -> None:
    """A model's weights as one safetensors file, atomically."""
    with replacing(path) as temporary:
        save_file(_contiguous(model.state_dict()), temporary)


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
    """
    path = folder / f"step-{step:09d}"
    with replacing(path) as temporary:
        temporary.mkdir()
        save_file(_contiguous(tensors), temporary / "tensors.safetensors")
        write_json(temporary / "state.json", {"format": FORMAT, "step": step, **state})
        sums = {name: sha256(temporary / name) for name in ("tensors.safetensors", "state.json")}
        write_json(temporary / "checksums.json", sums)
    return path


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint and check its checksums.

    Raises:
        RunError: a file is missing or damaged, or the format is of a newer vaelab.
    """
    try:
        sums = json.loads((path / "checksums.json").read_text())
        for name, expected in sums.items():
            if sha256(path / name) != expected:
                raise RunError(
                    f"{path / name} is damaged: its checksum is not the one recorded. Delete the folder "
                    f"{path} to go on from the checkpoint before it."
                )
        state = json.loads((path / "state.json").read_text())
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{path}: not a readable checkpoint ({error})") from error
    if state.get("format") != FORMAT:
        raise RunError(f"{path}: checkpoint format {state.get('format')}; this vaelab reads {FORMAT}")
    return _read(path / "tensors.safetensors"), state


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints, the oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints."""
    for path in checkpoints(folder)[:-keep]:
        shutil.rmtree(path)


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
        raise RunError(f"{path}: cannot be read ({error})") from error
