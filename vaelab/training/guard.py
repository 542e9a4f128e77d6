"""What stands between a step's gradients and the weights: NaN, infinity and spikes are found before anything changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vaelab.config import TrainingConfig
from vaelab.optimisers import Optimiser
from vaelab.training.sums import Snapshot, TermSums


@dataclass(frozen=True)
class Trouble:
    """A step whose terms or gradients were not finite.

    Attributes:
        step: steps done before it.
        terms: names of the terms that are NaN or infinite.
        gradients: names of the parameters whose gradients are.
    """

    step: int
    terms: list[str]
    gradients: list[str]


class Guard:
    """Looks at the terms and the norms of the gradients of each step.

    On a CPU the host looks at once. On another device it would have to wait for the device, so there the optimisers are
    told by a number on the device (`found_inf`, as gradient scalers do) to leave weights and moments as they are, and
    the host reads at the next line or checkpoint what was found. With `on_nonfinite: stop` no step is taken after a bad
    one, so the weights are then those before it. Optimisers without a fused kernel cannot be told so; with one of them the
    host waits.

    Args:
        module: model and objective.
        parameters: of each player.
        optimisers: of each player.
        config: how to train.
        device: of the model.
    """

    def __init__(
        self,
        module: nn.Module,
        parameters: Mapping[str, list[nn.Parameter]],
        optimisers: Mapping[str, Optimiser[Any]],
        config: TrainingConfig,
        device: torch.device,
    ) -> None:
        self.parameters = parameters
        self.optimisers = optimisers
        self.config = config
        self.waits = device.type == "cpu" or not all(
            getattr(optimiser.torch, "_step_supports_amp_scaling", False) for optimiser in optimisers.values()
        )
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        #: Whether the norms themselves are asked for.
        self._limited = config.gradient_clip is not None or config.skip_gradient_above is not None
        self._all = [p for players in parameters.values() for p in players]
        self._names = [names[id(p)] for p in self._all]
        self._buffers = _Buffers(module)
        self._device = device
        self.norm = 0.0
        self.skipped = 0
        self.taken = 0
        self._pending: _Pending | None = None

    def begin(self, sums: TermSums) -> None:
        """Before the forward pass of a step, which adds to the sums."""
        self._buffers.save()
        self._before: Snapshot = sums.snapshot()

    def look(self, step: int, sums: TermSums) -> Trouble | None:
        """After the backward pass; clips the gradients. `passed` says whether the step is to be taken.

        Returns:
            What is wrong, where the host knows it already.
        """
        if self.waits and not self._limited and self._plainly_finite(sums):
            self.passed = True
            return None
        norms = [self._norms(parameters) for parameters in self.parameters.values()]
        totals = torch.stack([torch.linalg.vector_norm(each) for each in norms])
        clip = self.config.gradient_clip
        if clip is not None:
            for parameters, total in zip(self.parameters.values(), totals, strict=True):
                nn.utils.clip_grads_with_norm_(parameters, clip, total)
        if self.waits:
            return self._now(step, sums, norms, totals)
        self._later(step, sums, norms, totals)
        return None

    def _plainly_finite(self, sums: TermSums) -> bool:
        """One number tells that all is well, and is all that most steps ask for; where it is not finite, the rest is looked at."""
        grads = [p.grad for p in self._all if p.grad is not None]
        numbers = torch.stack(torch._foreach_norm(grads)).sum() if grads else torch.zeros((), device=self._device)
        return math.isfinite(numbers.item()) and bool(sums.finite().all())

    def _norms(self, parameters: list[nn.Parameter]) -> Tensor:
        zero = torch.zeros((), device=self._device)
        grads = [p.grad for p in parameters if p.grad is not None]
        found = iter(torch._foreach_norm(grads)) if grads else iter(())
        return torch.stack([zero if p.grad is None else next(found) for p in parameters])

    def _now(self, step: int, sums: TermSums, norms: list[Tensor], totals: Tensor) -> Trouble | None:
        self.passed = True
        finite = sums.finite()
        if bool(finite.all() & totals.isfinite().all()):
            greatest = float(totals.max()) if self.config.skip_gradient_above is not None else 0.0
            self.norm = max(self.norm, greatest)
            if self.config.skip_gradient_above is not None and greatest > self.config.skip_gradient_above:
                self._leave_out(sums)
            return None
        trouble = self._trouble(step, sums.names, finite, torch.cat(norms))
        if self.config.on_nonfinite == "warn":
            self.taken += 1
        else:
            self._leave_out(sums)
        return trouble

    def _leave_out(self, sums: TermSums) -> None:
        self.passed = False
        self.skipped += 1
        sums.put_back(self._before)
        self._buffers.put_back()

    def _trouble(self, step: int, names: list[str], finite: Tensor, norms: Tensor) -> Trouble:
        terms = [name for name, good in zip(names, finite.tolist(), strict=True) if not good]
        gradients = [name for name, good in zip(self._names, norms.isfinite().tolist(), strict=True) if not good]
        return Trouble(step, terms, gradients)

    def _later(self, step: int, sums: TermSums, norms: list[Tensor], totals: Tensor) -> None:
        self.passed = True
        finite, norm = sums.finite(), torch.cat(norms)
        if self._pending is None:
            self._pending = _Pending(finite, norm)
        pending, policy = self._pending, self.config.on_nonfinite
        bad = ~(finite.all() & totals.isfinite().all())
        pending.note(step, bad, finite, norm)
        out = torch.zeros_like(bad) if policy == "warn" else bad
        if policy == "stop":
            out = pending.any
        if self.config.skip_gradient_above is not None:
            greatest = totals.max()
            out = out | (greatest > self.config.skip_gradient_above)
            pending.norm = torch.maximum(pending.norm, greatest.nan_to_num(0.0, 0.0))
        pending.skipped = pending.skipped + out
        pending.taken = pending.taken + (bad & ~out)
        found = out.float()
        for optimiser in self.optimisers.values():
            optimiser.torch.found_inf = found  # type: ignore[attr-defined]
        sums.put_back(self._before, where=out)
        self._buffers.put_back(where=out)
        self.out = out

    #: Where the host does not wait: whether the last step was left out, on the device.
    out: Tensor | None = None

    def read(self, names: list[str]) -> Trouble | None:
        """What was found since the last time, where the host did not wait; it does now. `names` are the terms."""
        if self._pending is None:
            return None
        pending, self._pending = self._pending, None
        self.norm = max(self.norm, float(pending.norm))
        self.skipped += int(pending.skipped)
        self.taken += int(pending.taken)
        if not bool(pending.any):
            return None
        return self._trouble(int(pending.step), names, pending.finite, pending.norms)


class _Pending:
    """What the device has found and the host has not read: the first bad step, and how many were left out."""

    def __init__(self, finite: Tensor, norms: Tensor) -> None:
        device = norms.device
        self.any = torch.zeros((), dtype=torch.bool, device=device)
        self.step = torch.zeros((), dtype=torch.int64, device=device)
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self.taken = torch.zeros((), dtype=torch.int64, device=device)
        self.norm = torch.zeros((), device=device)
        self.finite = torch.ones_like(finite)
        self.norms = torch.zeros_like(norms)

    def note(self, step: int, bad: Tensor, finite: Tensor, norms: Tensor) -> None:
        """Remember the first bad step."""
        first = bad & ~self.any
        self.step = torch.where(first, step, self.step)
        self.finite = torch.where(first, finite, self.finite)
        self.norms = torch.where(first, norms, self.norms)
        self.any = self.any | bad


class _Buffers:
    """The buffers that a forward pass changes, such as running means and code books, as they were before it.

    Which these are is seen in the first step.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._current: list[Tensor] | None = None
        self._saved: list[Tensor] = []

    @torch.no_grad()
    def save(self) -> None:
        """Before a forward pass."""
        if self._current is None:
            self._current = list(self._module.buffers())
            self._saved = [buffer.clone() for buffer in self._current]
            self._first = True
            return
        if self._first:
            pairs = [(b, s) for b, s in zip(self._current, self._saved, strict=True) if not torch.equal(b, s)]
            self._current, self._saved = [b for b, _ in pairs], [s for _, s in pairs]
            self._first = False
        if self._current:
            torch._foreach_copy_(self._saved, self._current)

    @torch.no_grad()
    def put_back(self, where: Tensor | None = None) -> None:
        """After it: be as before, everywhere or where the device says so."""
        if not self._current:
            return
        if where is None:
            torch._foreach_copy_(self._current, self._saved)
        else:
            for buffer, saved in zip(self._current, self._saved, strict=True):
                buffer.copy_(torch.where(where, saved, buffer))
