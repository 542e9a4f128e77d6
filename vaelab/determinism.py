"""Deterministic algorithms alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vaelab.errors import VaelabError


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Within the block torch uses only algorithms that give the same bits each time, where that is wanted.

    Raises:
        VaelabError: an operation has no such algorithm.
    """
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    # cuBLAS reads it when it is used for the first time in a process
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise VaelabError(
            f"{str(error).split('.')[0]}. Set deterministic to false, or choose a component without this operation."
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
