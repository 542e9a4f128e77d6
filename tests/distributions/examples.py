"""Instances of each distribution in double precision, for tests that run over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

import vaelab.distributions
from distributions import latent_examples
from vaelab.distributions import (
    AutoregressiveCodes,
    AutoregressivePixels,
    Bernoulli,
    Beta,
    Bits,
    CategoricalLevels,
    ContinuousBernoulli,
    DiagonalNormal,
    DiscretisedLogistic,
    Distribution,
    Gamma,
    Laplace,
    LogCosh,
    LogisticMixture,
    MixedColumns,
    Mixture,
    OneHot,
    PictureScore,
    QuantisedCodes,
    RelaxedBits,
    RelaxedOneHot,
    Resampled,
    StandardNormal,
    StudentT,
    UniformCodes,
    nearest_codes,
)
from vaelab.distributions.normal import OptimalScaleNormal
from vaelab.nets.code_gru import CodeGRU
from vaelab.nets.masked import MaskedStack

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
    return OptimalScaleNormal(
        _rand(*BATCH, *event), len(event), torch.zeros((), dtype=torch.float64), lambda log_scale: None
    )


BOOK = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(6))


def lookup(index: torch.Tensor) -> torch.Tensor:
    """Vectors `[*, 4, positions]` of indices `[*, positions]`."""
    return torch.movedim(BOOK[index], -1, -2)


def quantised_codes() -> QuantisedCodes:
    index = torch.randint(8, (*BATCH, 5))
    return QuantisedCodes(lookup(index), index, _rand(*BATCH).square())


def free_codes() -> QuantisedCodes:
    index = torch.randint(8, (*BATCH, 5))
    return QuantisedCodes(lookup(index), index, None, 1)


def find(z: torch.Tensor) -> torch.Tensor:
    """The inverse of `lookup`."""
    return nearest_codes(BOOK, z.movedim(-2, -1))


def autoregressive_codes() -> AutoregressiveCodes:
    return AutoregressiveCodes(BATCH, (4, 5), CodeGRU(8, (5,), 6).double(), lookup, find)


def resampled(base: Distribution) -> Resampled:
    net = torch.nn.Linear(base.event_shape.numel(), 1).double()
    return Resampled(base, net, torch.tensor(-0.8, dtype=torch.float64), 5)


def uniform_codes() -> UniformCodes:
    return UniformCodes(BATCH, (4, 5), 8, lookup, BOOK)


def laplace(*event: int) -> Laplace:
    return Laplace(_rand(*BATCH, *event), 0.5 * _rand(*BATCH, *event), event_ndim=len(event))


def log_cosh(*event: int) -> LogCosh:
    return LogCosh(_rand(*BATCH, *event), 3.0, len(event))


def student_t(*event: int) -> StudentT:
    df = 5 + _rand(*BATCH, *event).abs()
    return StudentT(_rand(*BATCH, *event), 0.5 * _rand(*BATCH, *event), df, event_ndim=len(event))


def beta(*event: int) -> Beta:
    return Beta(_rand(*BATCH, *event).exp(), _rand(*BATCH, *event).exp(), 16, len(event))


def discretised_logistic(*event: int) -> DiscretisedLogistic:
    # wide enough for no level to be rare
    return DiscretisedLogistic(0.5 + 0.3 * _rand(*BATCH, *event), 0.3 * _rand(*BATCH, *event) - 1.2, 8, len(event))


def categorical_levels(*event: int) -> CategoricalLevels:
    return CategoricalLevels(2 * _rand(*BATCH, *event, 5), len(event))


def logistic_mixture(channels: int, spread: float = 0.3) -> LogisticMixture:
    maps = (*BATCH, 4, channels, 3, 2)
    slopes = 0.3 * _rand(*BATCH, 4, channels * (channels - 1) // 2, 3, 2)
    # narrow, and far from the ends of [0, 1], where the mean of several channels is known
    loc = 0.5 + (spread if channels == 1 else 0.02) * _rand(*maps)
    return LogisticMixture(_rand(*BATCH, 4, 3, 2), loc, 0.3 * _rand(*maps) - 4, slopes, 256)


def autoregressive() -> AutoregressivePixels:
    stack = MaskedStack(2, 3, 2, 4, 3, 1, "tanh").double()
    return AutoregressivePixels(_rand(*BATCH, 3, 3, 2), 2, stack, stack.reach, lambda y: Bernoulli(y, 3), bits=True)


def mixed_columns() -> MixedColumns:
    def split(x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return x[..., :2], [x[..., 2].long(), x[..., 3].long()]

    def join(real: torch.Tensor, levels: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat([real, *(column.unsqueeze(-1) for column in levels)], -1)

    logits = [_rand(*BATCH, 3), _rand(*BATCH, 2)]
    # one level of each is all but certain: the likeliest level, which `mean` shows, is then the mean
    for column in logits:
        column[..., 1] += 60
    return MixedColumns(_rand(*BATCH, 2), 0.5 * _rand(*BATCH, 2), logits, split, join)


def picture_score() -> PictureScore:
    return PictureScore(_rand(*BATCH, 2, 3, 2), lambda x, y: -(x - y).square().flatten(1).sum(1))


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
    "gamma": lambda: Gamma(0.5 + _rand(*BATCH, 4).exp(), _rand(*BATCH, 4).exp()),
    "gamma_map": lambda: Gamma(0.5 + _rand(*BATCH, 2, 3, 2).exp(), _rand(*BATCH, 2, 3, 2).exp(), event_ndim=3),
    "laplace": lambda: laplace(4),
    "laplace_map": lambda: laplace(2, 3, 2),
    "log_cosh": lambda: log_cosh(4),
    "student_t": lambda: student_t(4),
    "beta": lambda: beta(4),
    "discretised_logistic": lambda: discretised_logistic(4),
    "discretised_logistic_map": lambda: discretised_logistic(2, 3, 2),
    "categorical_levels": lambda: categorical_levels(4),
    "categorical_levels_map": lambda: categorical_levels(2, 3, 2),
    "logistic_mixture_grey": lambda: logistic_mixture(1),
    "logistic_mixture_rgb": lambda: logistic_mixture(3),
    "one_hot": lambda: OneHot(_rand(*BATCH, 2, 3)),
    "relaxed_one_hot": lambda: RelaxedOneHot(_rand(*BATCH, 2, 3), 2, 0.7),
    "straight_through_one_hot": lambda: RelaxedOneHot(_rand(*BATCH, 2, 3), 2, 0.7, straight_through=True),
    "bits": lambda: Bits(2 * _rand(*BATCH, 4)),
    "relaxed_bits": lambda: RelaxedBits(2 * _rand(*BATCH, 4), 1, 0.7),
    "bits_map": lambda: RelaxedBits(2 * _rand(*BATCH, 2, 3, 2), 3, 0.7, straight_through=True),
    "autoregressive": autoregressive,
    "mixed_columns": mixed_columns,
    "picture_score": picture_score,
    "quantised_codes": quantised_codes,
    "resampled": lambda: resampled(diagonal_normal(4)),
    "resampled_mixture": lambda: resampled(mixture(2, 3, 2)),
    "codes_without_penalty": free_codes,
    "uniform_codes": uniform_codes,
    "autoregressive_codes": autoregressive_codes,
    **latent_examples.INSTANCES,
}


def make(name: str) -> Distribution:
    torch.manual_seed(11)
    return INSTANCES[name]()


def classes(base: type = vaelab.distributions.Distribution) -> Iterator[type]:
    """Every distribution that vaelab defines."""
    for sub in base.__subclasses__():
        if sub.__module__.startswith("vaelab.") and not _is_abstract(sub):
            yield sub
        yield from classes(sub)


def _is_abstract(cls: type) -> bool:
    return any(getattr(getattr(cls, name, None), "__isabstractmethod__", False) for name in dir(cls))
