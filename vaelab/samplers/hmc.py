"""Hamiltonian Monte Carlo over latents."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def hmc(
    log_density: Callable[[Tensor], Tensor], start: Tensor, *, steps: int, leapfrog: int, step_size: float
) -> tuple[Tensor, Tensor]:
    r"""Where independent chains of an unnormalised density are after some steps (Neal 2011, section 5.3.2.1).

    Each step draws a momentum $\rho \sim \mathcal{N}(0, I)$, follows the Hamiltonian
    $-\log p(z) + \tfrac12\lVert\rho\rVert^2$ by leapfrog steps, and accepts where it arrives with the probability
    $\min(1, e^{H - H'})$.

    Args:
        log_density: maps `[N, D]` to `[N]`, up to a constant.
        start: `[N, D]`, a chain a row.
        steps: of each chain.
        leapfrog: leapfrog steps in each of them.
        step_size: of a leapfrog step.

    Returns:
        `[N, D]` and the share of the steps `[N]` that were accepted.
    """
    z = start.detach()
    value, slope = _with_gradient(log_density, z)
    accepted = torch.zeros_like(value)
    for _ in range(steps):
        momentum = torch.randn_like(z)
        before = value - 0.5 * momentum.square().sum(1)
        place, here, gradient = z, value, slope
        for _ in range(leapfrog):
            momentum = momentum + 0.5 * step_size * gradient
            place = place + step_size * momentum
            here, gradient = _with_gradient(log_density, place)
            momentum = momentum + 0.5 * step_size * gradient
        after = here - 0.5 * momentum.square().sum(1)
        # a path that left for infinity compares false, and is refused
        take = torch.rand_like(value).log() < after - before
        z, slope = (torch.where(take[:, None], new, old) for new, old in ((place, z), (gradient, slope)))
        value = torch.where(take, here, value)
        accepted += take.to(accepted.dtype)
    return z, accepted / steps


def _with_gradient(log_density: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = log_density(z)
        [gradient] = torch.autograd.grad(value.sum(), z)
    return value.detach(), gradient
