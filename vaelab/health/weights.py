"""What the weights tell, looked at when a line is logged and at no other time."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from vaelab.health.finding import Finding

Line = dict[str, Any]

#: Steps, to which a movement is scaled.
STEPS = 100
#: Share of its norm by which a weight matrix moves within 100 steps, below which the learning rate is too small. With
#: usual rates it is a tenth to a half at the beginning.
LEAST_MOVEMENT = 0.01
#: Numbers of a matrix that are remembered.
_REMEMBERED = 4096
#: Root mean square of a parameter, and its growth, beyond which it runs off.
LARGEST, LARGEST_GROWTH = 100.0, 10.0
#: Logarithm of a scale; outside of it the scale is above 1,000 or below 0.001.
LOG_SCALE = 7.0


class Movement:
    r"""Tells whether the learning rate is too small to move the weights.

    The median over the weight matrices of $\lVert\theta_t - \theta_0\rVert / \lVert\theta_0\rVert$, scaled to 100 steps by
    the square root of their number, as steps with noise add up. Judged once: at the second line or later, 100 steps or more
    after the beginning or at the end of an epoch, and not while the learning rate is being warmed up.

    Args:
        model: at the beginning of its training.
    """

    def __init__(self, model: nn.Module) -> None:
        self._matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2 and bool(p.detach().any())]
        self._restart(0, None)
        self._open = bool(self._matrices)

    def _restart(self, step: int, lr: float | None) -> None:
        self._step, self._lr = step, lr
        self._start = [_some_of(parameter).clone() for parameter in self._matrices]

    def look(self, line: Line) -> list[Finding]:
        """At a line of the training."""
        steps, lr = line["step"] - self._step, float(line.get("lr", math.nan))
        if not self._open:
            return []
        if self._lr is None:
            self._lr = lr
            return []
        if lr > 1.05 * self._lr:  # warming up
            self._restart(line["step"], lr)
            return []
        if steps < STEPS and not float(line["epoch"]).is_integer():
            return []
        moved = self._moved() * math.sqrt(STEPS / steps)
        self._open, self._start = False, []
        if moved >= LEAST_MOVEMENT:
            return []
        return [
            Finding(
                "learning_rate_too_small",
                "warning",
                "The learning rate is too small to move the weights",
                f"{STEPS} steps change a weight matrix by {100 * moved:.2g} % of its norm (median); with usual rates it is "
                f"10 to 50 % at the beginning. The learning rate is {lr:g}.",
                "The learning rate is too small for this optimiser, or gradients are nearly zero.",
                "Try a rate a hundred times as large; for Adam 0.001 is the usual one.",
                line["step"],
            )
        ]

    def _moved(self) -> float:
        pairs = zip(self._matrices, self._start, strict=True)
        shares = [(_some_of(now) - start).norm() / start.norm() for now, start in pairs if start.any()]
        return float(torch.stack(shares).median()) if shares else math.inf


def _some_of(parameter: Tensor) -> Tensor:
    flat = parameter.detach().reshape(-1)
    return flat[:: max(1, len(flat) // _REMEMBERED)].float()


class Sizes:
    """Tells of parameters that run off, and of learned scales that explode or vanish.

    Args:
        model: at the beginning of this process's training.
    """

    def __init__(self, model: nn.Module) -> None:
        self._named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.numel()]
        self._start = self._sizes()
        self._scales = [(name, p) for name, p in self._named if "log_scale" in name.rsplit(".", 1)[-1]]

    def _sizes(self) -> list[float]:
        norms = torch._foreach_norm([parameter.detach().float() for _, parameter in self._named])
        roots = [math.sqrt(parameter.numel()) for _, parameter in self._named]
        # one transfer from the device, not one a parameter
        return [norm / root for norm, root in zip(torch.stack(list(norms)).tolist(), roots, strict=True)]

    def look(self, line: Line) -> list[Finding]:
        """At a line of the training."""
        found = []
        for (name, _), start, size in zip(self._named, self._start, self._sizes(), strict=True):
            if size > LARGEST and size > LARGEST_GROWTH * start:
                found.append(
                    Finding(
                        "exploding_parameter",
                        "warning",
                        f"The parameter '{name}' runs off",
                        f"Its root mean square is {size:.3g} at step {line['step']}, and was {start:.3g}.",
                        "The learning rate is too large, or the data are far from unit scale.",
                        "Lower the learning rate, set training.gradient_clip, or bring the data to unit variance.",
                        line["step"],
                        name,
                    )
                )
        return found + [finding for name, scale in self._scales for finding in _of_scale(name, scale, line["step"])]


def _of_scale(name: str, log_scale: Tensor, step: int) -> list[Finding]:
    low, high = (float(bound) for bound in torch.aminmax(log_scale.detach().float()))
    if max(-low, high) <= LOG_SCALE:
        return []
    which, value = ("explodes", high) if high > LOG_SCALE else ("vanishes", low)
    return [
        Finding(
            "exploding_scale",
            "warning",
            f"The learned scale '{name}' {which}",
            f"It is {math.exp(min(value, 700)):.3g} at step {step}.",
            "The data have numbers that never vary, so that their density grows without bound, or they are far from unit "
            "scale.",
            'Fix the scale ("sigma": "fixed"), add noise to the data, or bring them to unit variance.',
            step,
            name,
        )
    ]
