"""Random draws as inputs: what a network drew itself, it takes from outside, so that it is a function of its inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vaelab.errors import BuildError

#: Draws that are not made of noise of a fixed shape: they reject some of it.
_REFUSED = {"_standard_gamma", "_sample_dirichlet", "poisson", "binomial", "randperm", "normal", "uniform_", "dropout"}
_TINY = 1e-12


class Noise(TorchFunctionMode):
    """Inside the block, draws take their numbers from `supply`, in the order in which they ask.

    Normal draws are scaled standard normal numbers; the others are made of uniform ones: exponential draws and draws of
    bits and categories by the inverse of the distribution function.

    Args:
        supply: called with `"normal"` or `"uniform"` and a shape; returns numbers of that shape.
    """

    def __init__(self, supply: Callable[[str, tuple[Any, ...]], Tensor]) -> None:
        super().__init__()
        self.supply = supply

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ("randn", "rand"):
            shape = args[0] if len(args) == 1 and not isinstance(args[0], int | torch.SymInt) else args
            shape = kwargs.get("size", shape)
            return self.supply("normal" if name == "randn" else "uniform", tuple(shape))
        if name in ("randn_like", "rand_like"):
            return self.supply("normal" if name == "randn_like" else "uniform", tuple(args[0].shape))
        if name == "randint":
            *bounds, shape = args
            low, high = bounds if len(bounds) == 2 else (0, *bounds)
            return (low + (high - low) * self.supply("uniform", tuple(shape))).long().clamp(max=high - 1)
        if name == "exponential_":
            # 1 - u is not 0 for any float32 below 1
            return (-torch.log1p(-self.supply("uniform", tuple(args[0].shape)))).clamp_min(_TINY)
        if name == "bernoulli":
            return (self.supply("uniform", tuple(args[0].shape)) < args[0]).to(args[0].dtype)
        if name == "multinomial" and (args[1] if len(args) > 1 else kwargs["num_samples"]) == 1:
            weights = args[0]
            u = self.supply("uniform", (*weights.shape[:-1], 1))
            edges = weights.cumsum(-1) / weights.sum(-1, keepdim=True)
            return (u >= edges[..., :-1]).sum(-1, keepdim=True)
        if name in _REFUSED or name == "multinomial":
            raise BuildError(
                f"it draws with torch's `{name}`, which cannot be made a function of noise of a fixed shape"
            )
        return func(*args, **kwargs)


class Counter:
    """Counts the noise that a datum takes, draw by draw; the numbers themselves are drawn as usual.

    Args:
        batch: number of data of the pass that is counted.

    Attributes:
        draws: kind and numbers a datum of each draw, in order.
    """

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.draws: list[tuple[str, int]] = []

    def __call__(self, kind: str, shape: tuple[Any, ...]) -> Tensor:
        size = math.prod(shape)
        if size % self.batch:
            raise BuildError(f"it draws noise of the shape {tuple(shape)}, which is not the same number a datum")
        self.draws.append((kind, size // self.batch))
        draw = torch.empty(shape)
        return draw.normal_() if kind == "normal" else draw.uniform_()

    def total(self, kind: str) -> int:
        """Numbers of a kind that a datum takes."""
        return sum(size for name, size in self.draws if name == kind)


class Given:
    """Deals out given noise in the order of the draws that were counted.

    Args:
        noise: by kind, `[N, total]`.
        draws: as `Counter` found them.
    """

    def __init__(self, noise: Mapping[str, Tensor], draws: Sequence[tuple[str, int]]) -> None:
        self.noise = noise
        self.draws = iter(draws)
        self.used = dict.fromkeys(noise, 0)

    def __call__(self, kind: str, shape: tuple[Any, ...]) -> Tensor:
        expected, size = next(self.draws, ("", 0))
        if kind != expected:
            raise BuildError("what it draws depends on what it drew before")
        start = self.used[kind]
        self.used[kind] += size
        return self.noise[kind][:, start : start + size].reshape(shape)
