"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from vaelab.optimisers.base import AdamArguments, Optimiser
from vaelab.optimisers.eager import eager
from vaelab.registry import OPTIMISERS, default
from vaelab.schedules import NonNegativeScalar

#: Of eps: a step of at most this many learning rates is lost in the rounding of a weight.
_NEGLIGIBLE = 1e-12


class SOAPConfig(AdamArguments):
    """Arguments of SOAP."""

    kind: Literal["soap"] = "soap"

    lr: NonNegativeScalar = default(3e-3)
    """Learning rate: a number or a schedule."""

    shampoo_beta: float = Field(0.99, ge=0, lt=1)
    """Decay of the running means of the gradient's two products with itself."""

    frequency: int = Field(10, ge=1)
    """Steps from one refresh of the bases to the next."""

    max_dimension: int = Field(512, ge=1)
    """The longest side of a matrix that gets a basis; a longer side keeps its coordinates."""


@OPTIMISERS.register(SOAPConfig)
class SOAP(Optimiser[SOAPConfig]):
    r"""SOAP (Vyas et al. 2025, algorithm 3): Adam in the eigenbasis of Shampoo's preconditioner.

    For a matrix of weights with the gradient G, $L \leftarrow \beta_3 L + (1 - \beta_3)\,G G^\top$ and $R \leftarrow \beta_3 R
    + (1 - \beta_3)\,G^\top G$; $Q_L$ and $Q_R$ hold their eigenvectors, refreshed every `frequency` steps by one power iteration
    and a QR decomposition. `adam` runs on $Q_L^\top G\,Q_R$, and its step is turned back by $Q_L$ and $Q_R^\top$. The weight
    decay is decoupled, as in `adamw`. A kernel of a convolution is a matrix of one row for each of its first dimension.
    Vectors, and matrices whose sides are all longer than `max_dimension`, take the steps of `adam`; others spend their first step
    on finding their bases. The paper's $\beta_1 = \beta_2 = 0.95$ are for language models with batches of millions of tokens;
    the values here are Adam's.

    *Cost*: for a matrix of m rows and n columns, $3 m^2 n$ multiplications a step for each of the two sides (m and n exchanged for
    the other), and the memory of `adam` with two $m \times m$ and two $n \times n$ matrices more.

    Use it where `adam` would train for hundreds of epochs: it needs fewer of them to the same bound, each of which costs more. The
    share of its matrices falls as batches or samples grow.
    """

    def create(self, parameters: list[nn.Parameter], common: dict[str, Any]) -> torch.optim.Optimizer:
        c = self.config
        return eager(Rotated)(
            parameters,
            **common,
            **c.adam(),
            shampoo_beta=c.shampoo_beta,
            frequency=c.frequency,
            max_dimension=c.max_dimension,
        )


class Rotated(torch.optim.Optimizer):
    """SOAP as an optimiser of torch.

    A parameter's state holds the running means of Adam, both in the eigenbasis, and for each side of the matrix, 0 and 1, the product
    of the gradient with itself and its basis. The first mean is kept in the basis, and turned at a refresh, where the paper turns
    it at each step: the same values for a multiplication less.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        betas: tuple[float, float],
        eps: float,
        shampoo_beta: float,
        frequency: int,
        max_dimension: int,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "betas": betas,
                "eps": eps,
                "shampoo_beta": shampoo_beta,
                "frequency": frequency,
                "max_dimension": max_dimension,
                "differentiable": False,
            },
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step along the gradients."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            self._step(group, [p for p in group["params"] if p.grad is not None])
        return loss

    def _step(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        beta1, beta2 = group["betas"]
        moved: list[Tensor] = []
        states: list[dict[str, Any]] = []
        gradients: list[Tensor] = []
        for parameter in parameters:
            state, gradient = self.state[parameter], _matrix(cast("Tensor", parameter.grad))
            if not state:
                state.update(step=0, mean=torch.zeros_like(gradient), square=torch.zeros_like(gradient))
                if _begin(state, gradient, group):
                    continue
            state["step"] += 1
            moved.append(parameter)
            states.append(state)
            gradients.append(_into(state, gradient))
            _accumulate(state, gradient, group)
        if not moved:
            return
        means, squares = [state["mean"] for state in states], [state["square"] for state in states]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        sizes = torch._foreach_sqrt(squares)
        torch._foreach_div_(sizes, [(1 - beta2 ** state["step"]) ** 0.5 for state in states])
        torch._foreach_add_(sizes, group["eps"])
        steps = torch._foreach_div(means, sizes)
        torch._foreach_mul_(steps, [-group["lr"] / (1 - beta1 ** state["step"]) for state in states])
        if group["weight_decay"]:
            torch._foreach_mul_(moved, 1 - group["lr"] * group["weight_decay"])
        ahead = [_back(s, step).view_as(p) for p, s, step in zip(moved, states, steps, strict=True)]
        torch._foreach_add_(moved, ahead)
        for state in states:
            # Where a gradient stays 0 (a pixel that is never on) its mean would fall to denormal numbers and rest there, with
            # which matrix products take six times as long. A mean this far below eps moves no weight.
            state["mean"] = F.hardshrink(state["mean"], _NEGLIGIBLE * group["eps"])
            if state["step"] % group["frequency"] == 0:
                _refresh(state)


def _matrix(tensor: Tensor) -> Tensor:
    return tensor if tensor.ndim < 2 else tensor.reshape(len(tensor), -1)


def _begin(state: dict[str, Any], gradient: Tensor, group: dict[str, Any]) -> bool:
    """The bases of a first gradient; whether there are any."""
    for side in range(2):
        if gradient.ndim == 2 and 1 < gradient.shape[side] <= group["max_dimension"]:
            product = _product(gradient, side) * (1 - group["shampoo_beta"])
            # Orthogonal iteration sorts the eigenvectors by falling eigenvalue, so they begin in this order.
            state[f"product{side}"], state[f"basis{side}"] = product, torch.linalg.eigh(product).eigenvectors.flip(1)
    return "basis0" in state or "basis1" in state


def _product(gradient: Tensor, side: int) -> Tensor:
    return gradient @ gradient.T if side == 0 else gradient.T @ gradient


def _into(state: dict[str, Any], x: Tensor) -> Tensor:
    if "basis0" in state:
        x = state["basis0"].T @ x
    return x @ state["basis1"] if "basis1" in state else x


def _back(state: dict[str, Any], x: Tensor) -> Tensor:
    if "basis0" in state:
        x = state["basis0"] @ x
    return x @ state["basis1"].T if "basis1" in state else x


def _accumulate(state: dict[str, Any], gradient: Tensor, group: dict[str, Any]) -> None:
    for side in range(2):
        if f"product{side}" in state:
            state[f"product{side}"].lerp_(_product(gradient, side), 1 - group["shampoo_beta"])


def _refresh(state: dict[str, Any]) -> None:
    mean = _back(state, state["mean"])
    for side in range(2):
        if f"basis{side}" in state:
            basis, turned = state[f"basis{side}"], state[f"product{side}"] @ state[f"basis{side}"]
            order = (basis * turned).sum(0).argsort(descending=True)
            state["square"] = state["square"].index_select(side, order)
            state[f"basis{side}"] = torch.linalg.qr(turned[:, order]).Q
    state["mean"] = _into(state, mean)
