"""torch's fused Adam kernel, called with lists that are made once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import optimizer as torch_optimizer


class FusedStep:
    """The step of `torch.optim.Adam` or `AdamW` with `fused=True`, on a CPU, without what torch does around the kernel.

    For small models torch's own `step` collects and groups the tensors for half as long as the kernel runs. The kernel and its
    arguments are the same here, and so are the bits. Whatever is out of the ordinary is left to torch: the first step, a
    parameter without a gradient, hooks, scaled gradients, another device.

    Args:
        optimiser: of one group of parameters.
        kernel: `torch._fused_adam_` or `torch._fused_adamw_`.
    """

    def __init__(self, optimiser: torch.optim.Optimizer, kernel: Callable[..., Any]) -> None:
        self._torch = optimiser
        self._kernel = kernel
        self._state: object = None
        self._lists: tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor], list[Tensor]] | None = None

    def __call__(self) -> None:
        """One step."""
        lists = self._current()
        if lists is None:
            self._torch.step()
            return
        parameters, means, squares, most, steps = lists
        gradients = [parameter.grad for parameter in parameters]
        if any(gradient is None for gradient in gradients):
            self._torch.step()
            return
        group = self._torch.param_groups[0]
        with torch.no_grad():
            torch._foreach_add_(steps, 1)
            self._kernel(
                parameters,
                gradients,
                means,
                squares,
                most,
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=group["amsgrad"],
                maximize=group["maximize"],
            )

    def _current(self) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor], list[Tensor]] | None:
        optimiser = self._torch
        if (
            optimiser._optimizer_step_pre_hooks
            or optimiser._optimizer_step_post_hooks
            or torch_optimizer._global_optimizer_pre_hooks
            or torch_optimizer._global_optimizer_post_hooks
            or getattr(optimiser, "found_inf", None) is not None
            or getattr(optimiser, "grad_scale", None) is not None
        ):
            return None
        if self._state is not optimiser.state:  # a checkpoint was loaded
            self._state, self._lists = optimiser.state, None
        if self._lists is None:
            self._lists = self._made()
        return self._lists

    def _made(self) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor], list[Tensor]] | None:
        parameters: list[Tensor] = self._torch.param_groups[0]["params"]
        states: list[dict[str, Tensor]] = [self._torch.state.get(parameter, {}) for parameter in parameters]
        if not all(states) or any(p.device.type != "cpu" or p.dtype != parameters[0].dtype for p in parameters):
            return None
        most = [state["max_exp_avg_sq"] for state in states] if self._torch.param_groups[0]["amsgrad"] else []
        first, second, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
        return parameters, first, second, most, steps
