"""Finds, for each registered component, a composition in which it can be built.

Nothing here knows a component by name: partners are found by trying, so a new component is tested without an edit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from vaelab.build import build
from vaelab.config import ModelConfig
from vaelab.errors import BuildError, NoDensityError
from vaelab.model import VAE
from vaelab.objectives import MODEL, Objective
from vaelab.registry import (
    DECODERS,
    DIVERGENCES,
    ENCODERS,
    LIKELIHOODS,
    OBJECTIVES,
    POSTERIORS,
    PRIORS,
    ComponentConfig,
    Registry,
)
from vaelab.types import Batch, DataSpec, StepContext

AXES: dict[str, Registry] = {
    "encoder": ENCODERS,
    "posterior": POSTERIORS,
    "prior": PRIORS,
    "decoder": DECODERS,
    "likelihood": LIKELIHOODS,
}

#: Tried in this order; the second has as many rows as the example of a time-step prior has steps.
DATA: tuple[DataSpec, ...] = (
    *(
        DataSpec(shape, values, num_classes=3)
        for values, shape in itertools.product(("binary", "unit", "real"), ((1, 8, 8), (1, 4, 6), (6,), (4, 5)))
    ),
    DataSpec((1, 8, 8), "binary", num_classes=3, condition_shape=(3,)),
    DataSpec((1, 8, 8), "binary", num_classes=3, companion="pair"),
    DataSpec((1, 8, 8), "binary", num_classes=3, companion="labelled"),
)

#: What most components go together with, tried before everything else.
USUAL = {
    "encoder": ("mlp", "conv", "gru"),
    "posterior": ("diagonal_normal",),
    "prior": ("standard_normal", "uniform_codes"),
    "decoder": ("mlp",),
    "likelihood": ("bernoulli",),
}

BATCH = 8


@dataclass(frozen=True)
class Composition:
    """One component an axis, and the data it is built for."""

    kinds: tuple[tuple[str, str], ...]
    data: DataSpec

    def config(self) -> ModelConfig:
        return ModelConfig(**{axis: AXES[axis][kind].config.example() for axis, kind in self.kinds})

    def having(self, axis: str, kind: str) -> Composition:
        return Composition(tuple((a, kind if a == axis else k) for a, k in self.kinds), self.data)

    def build(self, objective: ComponentConfig | None = None, seed: int = 0) -> tuple[VAE, Objective[Any]]:
        """With the ELBO unless an objective is given, or with the distortion alone where the latents have no density."""
        torch.manual_seed(seed)
        try:
            return build(self.config(), objective or OBJECTIVES["elbo"].config.example(), self.data)
        except BuildError as error:
            if objective is not None or not isinstance(error.__cause__, NoDensityError):
                raise
        torch.manual_seed(seed)
        distortion = OBJECTIVES["elbo"].config.model_validate({"divergences": []})
        return build(self.config(), distortion, self.data)

    def batch(self, number: int = BATCH, dtype: torch.dtype = torch.float32) -> Batch:
        generator = torch.Generator().manual_seed(2)
        x = torch.rand(number, *self.data.shape, generator=generator, dtype=dtype)
        if self.data.values == "binary":
            x = x.round()
        elif self.data.values == "real":
            x = 4 * x - 2
        y = torch.randint(self.data.num_classes or 1, (number,), generator=generator)
        if self.data.companion is not None:
            return Batch(x, y, companion=Batch(x.flip(0), y.flip(0)))
        if self.data.condition_shape is None:
            return Batch(x, y)
        return Batch(x, y, condition=torch.nn.functional.one_hot(y, self.data.condition_shape[0]).to(dtype))

    def __str__(self) -> str:
        return ", ".join(f"{axis} '{kind}'" for axis, kind in self.kinds) + f" on {self.data}"


def components() -> list[tuple[str, str]]:
    """Every (axis, kind) that is registered."""
    return [(axis, entry.kind) for axis, registry in AXES.items() for entry in registry]


def _candidates(axis: str) -> list[str]:
    kinds = [entry.kind for entry in AXES[axis]]
    usual = [kind for kind in USUAL[axis] if kind in kinds]
    return usual + [kind for kind in kinds if kind not in usual]


def _combinations(fixed: dict[str, str]) -> Iterator[Composition]:
    """All compositions with these components, those nearest to the usual ones first."""
    choices = [[(axis, fixed[axis])] if axis in fixed else [(axis, k) for k in _candidates(axis)] for axis in AXES]

    def distance(kinds: tuple[tuple[str, str], ...]) -> int:
        return sum(kind not in USUAL[axis] for axis, kind in kinds)

    for kinds in sorted(itertools.product(*choices), key=distance):
        for data in DATA:
            yield Composition(kinds, data)


@cache
def partners(axis: str, kind: str) -> Composition:
    """The first composition with this component that builds."""
    refusals: list[str] = []
    for composition in _combinations({axis: kind}):
        try:
            composition.build()
        except BuildError as error:
            refusals.append(str(error))
        else:
            return composition
    raise AssertionError(f"nothing registered goes together with {axis} '{kind}': {sorted(set(refusals))[:10]}")


def known_good() -> list[Composition]:
    """The distinct compositions that `partners` finds."""
    return list(dict.fromkeys(partners(axis, kind) for axis, kind in components()))


@cache
def home_of(family: str, kind: str) -> tuple[Composition, ComponentConfig]:
    """A composition that a divergence or an objective can train, and the config of the objective."""
    refusals = []
    for composition in [*known_good(), *(Composition(c.kinds, data) for data in DATA[-2:] for c in known_good())]:
        if family == "objective":
            objective = OBJECTIVES[kind].config.example()
        else:
            term = DIVERGENCES[kind].config.example()
            objective = OBJECTIVES["elbo"].config.model_validate({"kind": "elbo", "divergences": [term]})
        try:
            composition.build(objective)
        except BuildError as error:
            refusals.append(str(error))
        else:
            return composition, objective
    raise AssertionError(f"no composition can be trained with {family} '{kind}': {sorted(set(refusals))[:10]}")


def train(
    model: VAE, objective: Objective[Any], batch: Batch, steps: int = 2
) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Adam steps of every player, as a trainer does them.

    Returns:
        The model's losses, and the summed absolute gradient of each parameter (None where it never had one).
    """
    model.train()
    objective.train()
    players = objective.players(model)
    optimisers = {name: torch.optim.Adam(parameters, lr=1e-2) for name, parameters in players.items()}
    names = {id(p): name for module in (model, objective) for name, p in module.named_parameters()}
    touched: dict[str, Any] = {names[id(p)]: None for parameters in players.values() for p in parameters}
    history = []
    for step in range(steps):
        context = StepContext(step, 10, 20, 1000)
        losses = objective(model, batch, context)
        assert losses.keys() == players.keys()
        history.append(losses[MODEL].value.mean().item())
        for name, loss in losses.items():
            gradients = torch.autograd.grad(loss.value.mean(), players[name], retain_graph=True, allow_unused=True)
            for parameter, gradient in zip(players[name], gradients, strict=True):
                parameter.grad = gradient
                if gradient is not None:
                    before = touched[names[id(parameter)]]
                    now = gradient.abs().sum()
                    touched[names[id(parameter)]] = now if before is None else before + now
        for optimiser in optimisers.values():
            optimiser.step()
    return history, touched
