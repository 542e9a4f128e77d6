"""Instances of the distributions that only latents have: correlated normals, flows, spheres, balls."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from vaelab.distributions import (
    DiagonalNormal,
    Dirac,
    Distribution,
    FullNormal,
    HamiltonianNormal,
    KernelMetric,
    LowRankNormal,
    NormalFlow,
    PowerSpherical,
    RiemannianHamiltonianNormal,
    RiemannianNormal,
    UniformSphere,
    VonMisesFisher,
    WrappedNormal,
    from_tangent,
)
from vaelab.nets.flows import Autoregressive, FlowStack, FlowStep, Planar, Radial, Shared

BATCH = (2, 3)


def _rand(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def full_normal(*event: int) -> FullNormal:
    size = torch.Size(event).numel()
    tril = _rand(*BATCH, size, size).tril(-1) + torch.diag_embed((0.5 * _rand(*BATCH, size)).exp())
    return FullNormal(_rand(*BATCH, *event), tril, len(event))


def low_rank_normal(*event: int) -> LowRankNormal:
    factor = _rand(*BATCH, torch.Size(event).numel(), 2)
    return LowRankNormal(_rand(*BATCH, *event), factor, 0.5 * _rand(*BATCH, *event), len(event))


def steps(kind: str, size: int, number: int = 3) -> FlowStack:
    def one(i: int) -> FlowStep:
        if kind in ("planar", "radial"):
            return Planar(size) if kind == "planar" else Radial(size)
        if kind == "shared":
            return Shared(Planar(size))
        bins = 5 if kind == "spline" else None
        context = 0 if kind == "inverted" else 3
        return Autoregressive(size, context, (16,), bins, descending=i % 2 == 1, inverted=kind == "inverted")

    return FlowStack([one(i) for i in range(number)]).double()


def flow(kind: str, *event: int) -> NormalFlow:
    stack = steps(kind, torch.Size(event).numel())
    base = DiagonalNormal.from_log_scale(_rand(*BATCH, *event), 0.5 * _rand(*BATCH, *event), len(event))
    return NormalFlow(base, stack, _rand(*BATCH, stack.parameter_size))


def direction(dim: int) -> torch.Tensor:
    return F.normalize(_rand(*BATCH, dim), dim=-1)


def ball_point(dim: int, curvature: float = 0.7) -> torch.Tensor:
    return from_tangent(torch.zeros(dim, dtype=torch.float64), _rand(*BATCH, dim), curvature)


def hamiltonian(*event: int) -> HamiltonianNormal:
    base = DiagonalNormal.from_log_scale(_rand(*BATCH, *event), 0.5 * _rand(*BATCH, *event), len(event))
    step = torch.full(event, 0.2, dtype=torch.float64)

    def log_target(z: torch.Tensor) -> torch.Tensor:
        return -0.5 * (z - 1).square().flatten(-len(event)).sum(-1)

    return HamiltonianNormal(base, log_target, step, torch.full_like(step, 0.6), 3)


def metric(dim: int, number: int = 5) -> KernelMetric:
    factors = 0.3 * _rand(number, dim, dim).tril(-1) + torch.diag_embed((0.3 * _rand(number, dim)).exp())
    return KernelMetric(_rand(number, dim), factors, 1.5, 0.1)


def riemannian_hamiltonian(dim: int) -> RiemannianHamiltonianNormal:
    plain = hamiltonian(dim)
    step = 0.5 * plain.step_size
    return RiemannianHamiltonianNormal(
        plain.base, plain.log_target, step, plain.root_temper, 3, metric(dim).inverse, 20
    )


INSTANCES: dict[str, Callable[[], Distribution]] = {
    "full_normal": lambda: full_normal(4),
    "full_normal_map": lambda: full_normal(2, 3, 2),
    "low_rank_normal": lambda: low_rank_normal(4),
    "low_rank_normal_map": lambda: low_rank_normal(2, 3, 2),
    "planar_flow": lambda: flow("planar", 4),
    "shared_flow": lambda: flow("shared", 4),
    "radial_flow": lambda: flow("radial", 4),
    "radial_flow_map": lambda: flow("radial", 2, 3, 2),
    "affine_flow": lambda: flow("affine", 4),
    "spline_flow": lambda: flow("spline", 4),
    "inverted_flow": lambda: flow("inverted", 4),
    "uniform_sphere": lambda: UniformSphere(torch.zeros(*BATCH, 4, dtype=torch.float64)),
    "von_mises_fisher": lambda: VonMisesFisher(direction(4), 3 * _rand(*BATCH).exp()),
    "power_spherical": lambda: PowerSpherical(direction(4), 3 * _rand(*BATCH).exp()),
    "wrapped_normal": lambda: WrappedNormal(ball_point(3), 0.3 * _rand(*BATCH, 3), 0.7),
    "riemannian_normal": lambda: RiemannianNormal(ball_point(3), 0.3 * _rand(*BATCH), 0.7),
    "dirac": lambda: Dirac(_rand(*BATCH, 4)),
    "hamiltonian": lambda: hamiltonian(4),
    "riemannian_hamiltonian": lambda: riemannian_hamiltonian(4),
}
