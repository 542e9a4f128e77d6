"""Annealing between two densities of latents: the arithmetic of annealed importance sampling and of its reverse."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, fields
from typing import Literal, Self

import torch
from torch import Tensor

from vaelab.distributions import Distribution
from vaelab.inference import infer_latents, log_joint
from vaelab.model import VAE
from vaelab.types import Batch

Start = Literal["prior", "posterior"]

#: Share of accepted steps at which a Hamiltonian chain is most efficient (Beskos et al. 2013), as Wu et al. (2017) take it.
_ACCEPTED = 0.65
#: First step size, and the steps at the path's beginning in which it is brought to where it belongs.
_FIRST_SIZE, _WARM_UP = 0.2, 30
#: By how much the logarithm of the step size follows the share of accepted steps.
_GAIN = 0.3


@dataclass(frozen=True)
class Point:
    r"""Where chains stand, with the two log-densities there and their gradients.

    Attributes:
        z: `[K, B, *event]`.
        start: $\log\pi_0(z)$ `[K, B]`, normalised.
        joint: $\log p(x, z)$ `[K, B]`.
        start_slope: $\nabla_z\log\pi_0$, the shape of z.
        joint_slope: $\nabla_z\log p(x, z)$, the shape of z.
    """

    z: Tensor
    start: Tensor
    joint: Tensor
    start_slope: Tensor
    joint_slope: Tensor

    def value(self, beta: float) -> Tensor:
        r"""$\log f_\beta(z) = (1-\beta)\log\pi_0(z) + \beta\log p(x, z)$ `[K, B]`."""
        return self.start.lerp(self.joint, beta)

    def slope(self, beta: float) -> Tensor:
        r"""$\nabla_z\log f_\beta(z)$."""
        return self.start_slope.lerp(self.joint_slope, beta)

    def where(self, take: Tensor, other: Self) -> Self:
        """The other point where `take` `[K, B]` is True, and this one elsewhere."""
        pairs = ((getattr(other, field.name), getattr(self, field.name)) for field in fields(self))
        return type(self)(*(torch.where(like(take, new), new, old) for new, old in pairs))


def like(values: Tensor, z: Tensor) -> Tensor:
    """Values `[B]` or `[K, B]` with as many axes of length 1 after them as `[K, B, *event]` has events."""
    return values.reshape(*values.shape, *(1 for _ in z.shape[2:]))


class Bridge:
    r"""The geometric path $f_\beta(z) = \pi_0(z)^{1-\beta}\, p(x, z)^\beta$ of each datum of a batch.

    Args:
        model: of one latent group of real numbers.
        batch: B data.
        start: whether $\pi_0$ is the prior or the posterior q(z | x).
    """

    def __init__(self, model: VAE, batch: Batch, start: Start) -> None:
        self.model = model
        self.batch = batch
        groups, _ = infer_latents(model, batch)
        density = groups[0].p if start == "prior" else groups[0].q
        assert density is not None
        self.density: Distribution = density

    def draw(self, chains: int) -> Tensor:
        """Draws of $\\pi_0$, `[chains, B, *event]`."""
        *_, rows = self.density.batch_shape or (1,)
        density = self.density.expand((chains, len(self.batch) if rows == 1 else rows))
        return density.sample()

    def at(self, z: Tensor) -> Point:
        """Both log-densities at z and their gradients."""
        state = self.model.prior.initial((z.shape[0], z.shape[1]), self.batch.condition, self.batch)
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            start, joint = self.density.log_prob(z), log_joint(self.model, state, z)
            [start_slope] = torch.autograd.grad(start.sum(), z)
            [joint_slope] = torch.autograd.grad(joint.sum(), z)
        return Point(z.detach(), start.detach(), joint.detach(), start_slope, joint_slope)


def temperatures(steps: int, delta: float = 4.0) -> list[float]:
    r"""$0 = \beta_0 < \dots < \beta_T = 1$, denser at both ends (Grosse et al. 2015, section 5.1).

    $\tilde\beta_t = \sigma(\delta(2t/T - 1))$ and $\beta_t = (\tilde\beta_t-\tilde\beta_0)/(\tilde\beta_T-\tilde\beta_0)$.
    """
    raw = [1 / (1 + math.exp(-delta * (2 * t / steps - 1))) for t in range(steps + 1)]
    return [(value - raw[0]) / (raw[-1] - raw[0]) for value in raw]


def transition(bridge: Bridge, point: Point, beta: float, size: Tensor, leapfrog: int) -> tuple[Point, Tensor]:
    r"""One step of Hamiltonian Monte Carlo that leaves $f_\beta$ invariant (Neal 2011, section 5.3.2).

    Args:
        bridge: the path.
        point: where the chains are.
        beta: $\beta$.
        size: step size of each datum, `[B]`.
        leapfrog: leapfrog steps.

    Returns:
        Where the chains are then, and the probability `[K, B]` with which each was to be accepted.
    """
    step = like(size.to(point.z), point.z[:1])
    momentum = torch.randn_like(point.z)
    kinetic = 0.5 * momentum.square().flatten(2).sum(2)
    place = point
    for _ in range(leapfrog):
        momentum = momentum + 0.5 * step * place.slope(beta)
        place = bridge.at(place.z + step * momentum)
        momentum = momentum + 0.5 * step * place.slope(beta)
    gain = place.value(beta) - 0.5 * momentum.square().flatten(2).sum(2) - point.value(beta) + kinetic
    # a path that left for infinity is refused
    accept = gain.nan_to_num(-math.inf, math.inf, -math.inf).clamp_max(0).exp()
    return point.where(torch.rand_like(accept) < accept, place), accept


def tuned(bridge: Bridge, betas: list[float], chains: int, leapfrog: int) -> Tensor:
    """Step sizes for each inner temperature and datum, `[T - 1, B]`, from chains that are then thrown away.

    Adapted on the chains that are weighted, the steps would depend on where these have been, and no longer leave the
    density of their temperature invariant; the bounds would hold no more.
    """
    point = bridge.at(bridge.draw(chains))
    size = torch.full((len(bridge.batch),), _FIRST_SIZE, device=point.z.device)
    sizes = []
    for i, beta in enumerate([betas[1]] * _WARM_UP + betas[1:-1]):
        if i >= _WARM_UP:
            sizes.append(size)
        point, accept = transition(bridge, point, beta, size, leapfrog)
        size = size * (_GAIN * (accept.mean(0) - _ACCEPTED)).exp()
    return torch.stack(sizes) if sizes else size.new_zeros(0, len(size))


def annealed(bridge: Bridge, z: Tensor, betas: list[float], sizes: Tensor, leapfrog: int) -> tuple[Tensor, Tensor]:
    r"""The log-weight of chains that are moved along a path (Neal 2001, equation 11).

    $$\log w = \sum_{t=1}^T (\beta_t - \beta_{t-1})\,\bigl(\log p(x, z_{t-1}) - \log\pi_0(z_{t-1})\bigr)$$

    with $z_t$ from a transition that leaves $f_{\beta_t}$ invariant. From $\pi_0$ upwards $\mathbb{E}[w] = p(x)$; from
    a draw of $p(z \mid x)$ with the temperatures turned round, $\mathbb{E}[w] = 1/p(x)$.

    Args:
        bridge: the path.
        z: where the chains begin, `[K, B, *event]`.
        betas: temperatures in the order in which they are passed.
        sizes: step size of each inner temperature and datum, `[T - 1, B]`, in the same order.
        leapfrog: leapfrog steps a transition.

    Returns:
        $\log w$ `[K, B]`, float64 on the CPU, and the mean acceptance `[B]`.
    """
    point = bridge.at(z)
    log_weight = torch.zeros(point.start.shape, dtype=torch.float64)
    accepted = torch.zeros(len(bridge.batch), dtype=torch.float64)
    for i, (before, beta) in enumerate(itertools.pairwise(betas)):
        log_weight += (beta - before) * (point.joint - point.start).cpu().double()
        if i < len(sizes):
            point, accept = transition(bridge, point, beta, sizes[i], leapfrog)
            accepted += accept.mean(0).cpu().double()
    return log_weight, accepted / max(len(sizes), 1)
