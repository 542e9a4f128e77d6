"""The states of the random generators of all processes, in a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab.processes import Processes, stream_seed

_log = logging.getLogger(__name__)


def random_states(device: torch.device, processes: Processes) -> dict[str, Tensor]:
    """What a checkpoint holds, in every process."""
    own = {"random/cpu": torch.get_rng_state()}
    if device.type == "cuda":
        own["random/cuda"] = torch.cuda.get_rng_state(device)
    return {_name(name, rank): state for name, mine in own.items() for rank, state in enumerate(processes.gather(mine))}


def restore_random_states(
    path: Path,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    device: torch.device,
    processes: Processes,
    seed: int,
) -> None:
    """The inverse of `random_states`, or a new stream for each process where another number of them wrote the checkpoint.

    Args:
        path: of the checkpoint.
        tensors: that it holds.
        state: the rest of it.
        device: of the model.
        processes: who read it.
        seed: of the run.

    Raises:
        KeyError: there is none of this process.
    """
    before = state.get("processes", 1)
    if before != processes.number:
        _log.warning(
            "%s was written by %d processes and is read by %d: what they draw from here on is different, and the run does not "
            "end with the bits that it would have ended with",
            path,
            before,
            processes.number,
        )
        torch.manual_seed(stream_seed(seed, processes.rank, state["step"]))
        return
    torch.set_rng_state(tensors[_name("random/cpu", processes.rank)])
    if device.type == "cuda" and "random/cuda" in tensors:
        torch.cuda.set_rng_state(tensors[_name("random/cuda", processes.rank)], device)


def _name(name: str, rank: int) -> str:
    return f"{name}/{rank}" if rank else name
