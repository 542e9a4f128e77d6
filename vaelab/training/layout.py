"""How a training keeps the tensors of a model: in which order of their axes, and which of them at all."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vaelab.types import Batch


def channels_last(module: nn.Module) -> None:
    """Lay the weights of convolutions out with channels last; what they yield then has the same order."""
    for parameter in module.parameters():
        parameter.data = in_channels_last(parameter.data)


def in_channels_last(tensor: Tensor) -> Tensor:
    """The same numbers with channels last, where the tensor has the axes for it."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def batch_in_channels_last(batch: Batch) -> Batch:
    """The batch with its data in channels last."""
    return replace(batch, x=in_channels_last(batch.x))


def recompute(model: nn.Module) -> int:
    """Let each block of a model forget its activations, and compute them again in the backward pass.

    Blocks are the elements of module lists (the levels of a hierarchy) and sequences of layers. The random state is put back
    for the second pass, so draws are the same. What has buffers is left as it is, since running means would move twice.

    Returns:
        The number of blocks.
    """
    blocks = list(_blocks(model))
    for block in blocks:
        block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
    return len(blocks)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            for element in child:
                yield from _whole(element)
        elif isinstance(child, nn.Sequential):
            yield from _whole(child)
        else:
            yield from _blocks(child)


def _whole(module: nn.Module) -> Iterator[nn.Module]:
    if any(True for _ in module.buffers()):
        yield from _blocks(module)
    elif any(True for _ in module.parameters()):
        yield module
