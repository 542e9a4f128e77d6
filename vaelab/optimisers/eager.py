"""torch's optimisers without the compiler that they import."""

from __future__ import annotations

from inspect import unwrap
from typing import Any, TypeVar

import torch

T = TypeVar("T", bound=torch.optim.Optimizer)


def eager(kind: type[T]) -> type[T]:
    """The same optimiser, for steps that are never compiled.

    torch marks an optimiser's methods for its compiler, and the marks import `torch._dynamo` and what it needs, sympy among
    it, when the first optimiser is made. This takes as long as `import torch` itself. `training.compile` compiles the
    forward pass and no optimiser, so the marks serve nothing here. Below them the methods are torch's own.
    """

    def step(self: torch.optim.Optimizer, closure: Any = None) -> Any:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return plain_step(self, closure)

    plain_step = unwrap(kind.step)
    marked = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    return type(kind.__name__, (kind,), {"step": step, **{name: unwrap(getattr(kind, name)) for name in marked}})
