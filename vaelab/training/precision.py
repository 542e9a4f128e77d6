"""Layers in bfloat16, and everything that is made of their outputs in float32."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn


class LayersInBfloat16:
    """Lets the layers of a module calculate in bfloat16 while it is entered.

    Layers are the modules of `torch.nn` and what inherits from one (a `Sequential` of whatever it holds); each runs under
    autocast and returns float32. What vaelab or a plugin writes between them stays in float32: draws, densities, sums of
    terms, the volume of a flow. Autocast around the whole forward pass would round these too, and bfloat16 has 8 bits: a
    log-likelihood near -200 would be a whole number, and with it the importance weights.

    Args:
        root: holds the layers; weights stay in float32.
        device: where it is.
    """

    def __init__(self, root: nn.Module, device: torch.device) -> None:
        self.device = device.type
        self.entered = False
        for module in root.modules():
            if _is_layer(module):
                module.forward = functools.partial(self._run, module.forward)

    def _run(self, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self.entered or torch.is_autocast_enabled(self.device):  # or within another layer
            return forward(*args, **kwargs)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            out = forward(*args, **kwargs)
        return _in_float32(out)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Around the forward and the backward pass; the latter may run layers again (gradient checkpointing)."""
        self.entered = True
        try:
            yield
        finally:
            self.entered = False


def _is_layer(module: nn.Module) -> bool:
    if isinstance(module, nn.ModuleList | nn.ModuleDict) or not any(
        True for _ in chain(module.parameters(), module.buffers())
    ):
        return False
    return any(cls is not nn.Module and cls.__module__.startswith("torch.nn.modules.") for cls in type(module).__mro__)


def _in_float32(out: Any) -> Any:
    if isinstance(out, Tensor):
        return out.float() if out.dtype == torch.bfloat16 else out
    if isinstance(out, tuple):
        return tuple(_in_float32(part) for part in out)
    return out
