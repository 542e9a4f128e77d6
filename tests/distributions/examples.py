"""Instances of each distribution in double precision, for tests that run over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

import vaelab.distributions
from vaelab.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    DiagonalNormal,
    Distribution,
    Mixture,
    QuantisedCodes,
    StandardNormal,
    UniformCodes,
)
from vaelab.distributions.normal import OptimalScaleNormal

BATCH = (2, 3)


def _rand(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def diagonal_normal(*event: int) -> DiagonalNormal:
    return DiagonalNormal.from_log_scale(_rand(*BATCH, *event), 0.5 * _rand(*BATCH, *event), len(event))


def negative_scale(*event: int) -> DiagonalNormal:
    scale = -0.3 - _rand(*BATCH, *event).abs()
    return DiagonalNormal(_rand(*BATCH, *event), scale, scale.abs().log(), len(event))


def standard_normal(*event: int) -> StandardNormal:
    return StandardNormal(torch.zeros(*BATCH, *event, dtype=torch.float64), len(event))


def mixture(*event: int) -> Mixture:
    components = DiagonalNormal.from_log_scale(_rand(*BATCH, 4, *event), 0.5 * _rand(*BATCH, 4, *event), len(event))
    return Mixture(components, _rand(4))


def bernoulli(*event: int) -> Bernoulli:
    return Bernoulli(2 * _rand(*BATCH, *event), len(event))


def continuous_bernoulli(*event: int) -> ContinuousBernoulli:
    return ContinuousBernoulli(2 * _rand(*BATCH, *event), len(event))


def optimal_scale(*event: int) -> OptimalScaleNormal:
    return OptimalScaleNormal(_rand(*BATCH, *event), len(event), torch.zeros((), dtype=torch.float64), lambda log_scale: None)


BOOK = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(6))


def lookup(index: torch.Tensor) -> torch.Tensor:
    """Vectors `[*, 4, positions]` of indices `[*, positions]`."""
    return torch.movedim(BOOK[index], -1, -2)


def quantised_codes() -> QuantisedCodes:
    index = torch.randint(8, (*BATCH, 5))
    return QuantisedCodes(lookup(index), index, _rand(*BATCH).square())


def uniform_codes() -> UniformCodes:
    return UniformCodes(BATCH, (4, 5), 8, lookup, BOOK)


#: Instances by name. A distribution that is added to vaelab needs one here; `test_base` says so.
INSTANCES: dict[str, Callable[[], Distribution]] = {
    "diagonal_normal": lambda: diagonal_normal(4),
    "diagonal_normal_map": lambda: diagonal_normal(2, 3, 2),
    "negative_scale": lambda: negative_scale(4),
    "standard_normal": lambda: standard_normal(4),
    "standard_normal_map": lambda: standard_normal(2, 3, 2),
    "mixture": lambda: mixture(4),
    "mixture_map": lambda: mixture(2, 3, 2),
    "bernoulli": lambda: bernoulli(4),
    "bernoulli_map": lambda: bernoulli(2, 3, 2),
    "continuous_bernoulli": lambda: continuous_bernoulli(4),
    "continuous_bernoulli_map": lambda: continuous_bernoulli(2, 3, 2),
    "optimal_scale": lambda: optimal_scale(4),
    "quantised_codes": quantised_codes,
    "uniform_codes": uniform_codes,
}


def make(name: str) -> Distribution:
    torch.manual_seed(11)
    return INSTANCES[name]()


def classes(base: type = vaelab.distributions.Distribution) -> Iterator[type]:
    """Every distribution that vaelab defines."""
    for sub in base.__subclasses__():
        if sub.__module__.startswith("vaelab."):
            yield sub
        yield from classes(sub)
