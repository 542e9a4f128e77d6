"""How much of the machine one thing may take, so that what is too large is refused and does not end the process."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vaelab.errors import BuildError

#: Part of the memory that a model's weights may take, or that one array of data may.
SHARE = 0.5

#: Tensors that building a model may make, and operations that it may take with the trial passes. The deepest experiment that
#: ships needs 466 and 10,903; with more than these, a mistyped number of layers or steps would not end.
MAX_TENSORS = 20_000
MAX_CALLS = 200_000


@cache
def memory() -> int:
    """Bytes of memory of this machine, or of the control group where that has less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # "max", or no such file
            found.append(int(Path(path).read_text()))
    return min(found)


def limit() -> int:
    """Bytes that a model's weights, or one array of data, may take."""
    return int(SHARE * memory())


def written(number: float) -> str:
    """A number of bytes in words."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            return f"{number:.4g} {unit}"
        number /= 1024
    raise AssertionError


class BuildBudget(TorchFunctionMode):
    """Refuses, before it is made, a tensor that is too large or one too many.

    Every function of torch that is called inside the block passes through here, so components need not estimate
    anything themselves, those of third parties included.
    """

    def __init__(self) -> None:
        super().__init__()
        self.what = "the model"
        self.adds_up = True
        self.total = self.tensors = self.calls = 0

    def of(self, what: str) -> None:
        """Say what is made from now on, for messages."""
        self.what = what

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Inside, tensors are let go of again, so that each is judged alone."""
        self.adds_up = False
        try:
            yield
        finally:
            self.adds_up = True

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.calls += 1
        if self.calls > MAX_CALLS:
            self._refuse(f"takes more than {MAX_CALLS:,} operations")
        elements = _elements(func, args, kwargs or {})
        if elements is not None:
            self._take(elements * _itemsize(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _take(self, size: int) -> None:
        self.tensors += 1
        if self.adds_up:
            self.total += size
        if size > limit() or self.total > limit():
            self._refuse(f"needs {written(max(size, self.total))} or more")
        if self.tensors > MAX_TENSORS:
            self._refuse(f"has more than {MAX_TENSORS:,} tensors")

    def _refuse(self, why: str) -> None:
        raise BuildError(
            f"{self.what} {why}, and this machine allows {written(limit())} (half of its memory) and {MAX_TENSORS:,} tensors. "
            "Lower its widths, layers or steps, or the size of the latents or of the data."
        )


def require_memory(size: int, what: str, remedy: str, error: type[Exception]) -> None:
    """Refuse data that would fill the memory.

    Args:
        size: bytes that it takes.
        what: it is, for the message.
        remedy: what can be done.
        error: what is raised.
    """
    if size > limit():
        raise error(f"{what} takes {written(size)} of memory, and this machine allows {written(limit())}. {remedy}")


_FROM_SIZE = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn}
_NEW = {Tensor.new_empty, Tensor.new_zeros, Tensor.new_ones}


def _elements(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> int | None:
    """Elements of the tensor that a factory is about to make; None for other functions."""
    if func in _FROM_SIZE:
        return _product(args, kwargs)
    if func in _NEW:
        return _product(args[1:], kwargs)
    if func in (torch.full, Tensor.new_full):
        return _product(args[func is not torch.full :][:1], kwargs)
    if func is torch.eye:
        return _product([*args[:1], args[1] if len(args) > 1 else args[:1]], kwargs)
    if func is torch.arange:
        numbers = [float(value) for value in args if isinstance(value, int | float)]
        start, end, step = {0: (0, 0, 1), 1: (0, *numbers, 1), 2: (*numbers, 1)}.get(len(numbers), numbers)
        return int(max(0.0, (end - start) / step)) if step else 0
    if func in (torch.linspace, torch.randperm):
        return _product(args[-1:], {"size": kwargs["steps"]} if "steps" in kwargs else kwargs)
    if func is torch.randint:
        return _product([value for value in args if isinstance(value, tuple | list)], kwargs)
    return None


def _product(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    sizes = kwargs.get("size", args)
    flat: list[int] = []
    for size in sizes if isinstance(sizes, tuple | list) else (sizes,):
        flat += [int(n) for n in size] if isinstance(size, tuple | list) else [int(size)]
    return math.prod(flat)


def _itemsize(kwargs: Mapping[str, Any]) -> int:
    dtype = kwargs.get("dtype")
    return dtype.itemsize if isinstance(dtype, torch.dtype) else 4
