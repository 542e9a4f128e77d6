"""Normal variables moved by Hamiltonian dynamics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vaelab.distributions.base import Distribution, Draw, SampleShape, TensorMap, event_sum
from vaelab.distributions.normal import DiagonalNormal
from vaelab.errors import NoDensityError


class HamiltonianNormal(Distribution):
    r"""A normal draw moved by L tempered leapfrog steps towards an unnormalised target $\pi$.

    With $\rho_0 \sim \mathcal{N}(0, \beta_0^{-1} I)$, each step is
    $\rho' = \rho + \tfrac\varepsilon2\nabla\log\pi(z)$, $z \leftarrow z + \varepsilon\rho'$,
    $\rho \leftarrow \sqrt{\beta_{l-1}/\beta_l}\,\big(\rho' + \tfrac\varepsilon2\nabla\log\pi(z)\big)$
    with $\beta_l^{-1/2} = (1 - \beta_0^{-1/2})\,l^2/L^2 + \beta_0^{-1/2}$ (Caterini et al. 2018, algorithm 1).

    The leapfrog preserves volume, and the tempering scales the momentum from its start to its end by exactly
    $\sqrt{\beta_0}$, which undoes the scale it is drawn with. So what stands for $\log q$ in a bound is
    $\log q_0(z_0) + \log\mathcal{N}(\sqrt{\beta_0}\rho_0; 0, I) - \log\mathcal{N}(\rho_L; 0, I)$: the weight
    $\log p(x, z_L) - \log q$ is that of their equation 10, and its exponential is an unbiased estimate of p(x). The density
    of $z_L$ alone is intractable.

    Args:
        base: distribution of $z_0$, `[*batch, *event]`.
        log_target: $\log\pi$, maps `[*batch, *event]` to `[*batch]`.
        step_size: $\varepsilon$, `[*event]`.
        root_temper: $\sqrt{\beta_0}$ in (0, 1], `[*event]`, the same everywhere.
        steps: L.
    """

    has_log_prob = False

    def __init__(
        self,
        base: DiagonalNormal,
        log_target: Callable[[Tensor], Tensor],
        step_size: Tensor,
        root_temper: Tensor,
        steps: int,
    ) -> None:
        super().__init__(base.batch_shape, base.event_shape)
        self.base = base
        self.log_target = log_target
        self.step_size = step_size
        self.root_temper = root_temper
        self.steps = steps

    def map(self, function: TensorMap) -> HamiltonianNormal:
        n = len(self._event_shape)
        step_size, root_temper = function(self.step_size, n), function(self.root_temper, n)
        return HamiltonianNormal(self.base.map(function), self.log_target, step_size, root_temper, self.steps)

    @property
    def centre(self) -> Tensor:
        """The mean of the normal, from which the dynamics start; the mean of their end has no closed form."""
        return self.base.loc

    def draw(self) -> Draw:
        return self._move(self.base.rsample())

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self._move(self.base.rsample(sample_shape)).z

    def log_prob(self, value: Tensor) -> Tensor:
        raise NoDensityError(
            f"{type(self).__name__} knows the density of its own draws only, together with their momentum"
        )

    def _move(self, z: Tensor) -> Draw:
        log_q = self.base.log_prob(z)
        momentum = torch.randn_like(z)
        log_q = log_q + self._kinetic(momentum)
        momentum = momentum / self.root_temper
        force = self._force(z)
        for tempering in self._temperings():
            momentum = momentum + 0.5 * self.step_size * force
            z = z + self.step_size * momentum
            force = self._force(z)
            momentum = (momentum + 0.5 * self.step_size * force) * tempering
        return Draw(z, log_q - self._kinetic(momentum))

    def _temperings(self) -> Iterator[Tensor]:
        """What the momentum is multiplied by after each step; the product is $\\sqrt{\\beta_0}$."""
        before = 1 / self.root_temper
        for i in range(1, self.steps + 1):
            after = (1 - 1 / self.root_temper) * (i / self.steps) ** 2 + 1 / self.root_temper
            yield after / before
            before = after

    def _kinetic(self, momentum: Tensor) -> Tensor:
        return event_sum(-0.5 * momentum.square() - 0.5 * math.log(2 * math.pi), len(self._event_shape))

    def _force(self, z: Tensor) -> Tensor:
        return slope(self.log_target, z)


def slope(energy: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """The gradient `[*batch, *event]` of an energy `[*batch]`, itself differentiable where gradients are wanted.

    What else the energy depends on counts as fixed, even where it came from z.
    """
    wanted = torch.is_grad_enabled()
    with torch.enable_grad():
        at = z.clone() if z.requires_grad and wanted else z.detach().requires_grad_()
        value = energy(at).sum()
        if not value.requires_grad:  # an energy that is the same everywhere
            return torch.zeros_like(z)
        (gradient,) = torch.autograd.grad(value, at, create_graph=wanted, allow_unused=True, materialize_grads=True)
    return gradient
