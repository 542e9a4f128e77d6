"""Base of the metrics that compare codes with known factors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from vaelab.distributions import DiagonalNormal
from vaelab.errors import ConfigError, DataError
from vaelab.inference import infer_latents
from vaelab.metrics.base import EvaluationContext, Metric, Value
from vaelab.metrics.disentanglement.arrays import Array
from vaelab.model import VAE
from vaelab.registry import ComponentConfig
from vaelab.types import Batch, DataSpec, Split


@dataclass(frozen=True)
class Codes:
    r"""Some data encoded.

    Attributes:
        mean: `[N, D]`, float64, the centre of each posterior, its groups flattened and side by side.
        scale: `[N, D]`, the standard deviations, or None where not every posterior is a diagonal normal.
        rate: `[D]`, the mean KL of each code in nats where the priors are diagonal normals too, else None.
        factors: `[N, F]`, int64, or None where the data have none.
    """

    mean: Array
    scale: Array | None
    rate: Array | None
    factors: Array | None

    def __len__(self) -> int:
        return len(self.mean)


@torch.no_grad()
def encode(model: VAE, batches: Iterable[Batch], groups: tuple[int, ...] | None = None) -> Codes:
    """The codes of some data.

    Args:
        model: the model.
        batches: the data.
        groups: which latent groups are the code; all where None. Groups before one take their posterior's centre.
    """
    which = range(model.prior.latent.depth) if groups is None else groups
    if absent := [i for i in which if i >= model.prior.latent.depth]:
        raise ConfigError(
            f"there is no latent group {absent[0]}: the model has {model.prior.latent.depth}, counted from 0. "
            'Change "groups" of the metric.'
        )
    means: list[Tensor] = []
    scales: list[Tensor] = []
    rates: list[Tensor] = []
    factors: list[Tensor] = []
    for batch in batches:
        latents, _ = infer_latents(model, batch, mean=True)
        found = [latents[i] for i in which]
        means.append(_side_by_side([group.z[0] for group in found]))
        if all(isinstance(group.q, DiagonalNormal) for group in found):
            posteriors = [group.q for group in found if isinstance(group.q, DiagonalNormal)]
            scales.append(_side_by_side([q.scale.abs()[0] for q in posteriors]))
            priors = [group.p for group in found if isinstance(group.p, DiagonalNormal)]
            if len(priors) == len(posteriors):
                rates.append(_side_by_side([_rate(q, p)[0] for q, p in zip(posteriors, priors, strict=True)]))
        if batch.factors is not None:
            factors.append(batch.factors.cpu())
    return Codes(
        torch.cat(means).numpy(),
        torch.cat(scales).numpy() if scales else None,
        torch.cat(rates).mean(0).numpy() if rates else None,
        torch.cat(factors).numpy() if factors else None,
    )


def _side_by_side(groups: list[Tensor]) -> Tensor:
    return torch.cat([group.flatten(1).cpu().double() for group in groups], 1)


def _rate(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    """The KL of each component, which is summed nowhere else but in `closed_kl`."""
    ratio = (q.log_scale - p.log_scale).double()
    return ((2 * ratio).exp() - 1 + ((q.loc - p.loc) / p.scale).double().square()) / 2 - ratio


class FactorMetricConfig(ComponentConfig):
    """Arguments of every metric that compares codes with known factors."""

    limit: PositiveInt = 10_000
    """N, encode the first so many data; data sets with factors are in random order."""

    groups: tuple[NonNegativeInt, ...] | None = None
    """The latent groups that are the code, counted from 0; all where null."""

    @classmethod
    def example(cls) -> Self:
        return cls.model_validate({"limit": 100})


C = TypeVar("C", bound=FactorMetricConfig)


class FactorMetric(Metric[C], Generic[C]):
    """A metric of the centres of the posteriors and the factors of the data; a subclass writes `score`.

    Factors that take one value only in the data are left out.
    """

    def check(self, data: DataSpec) -> None:
        if not data.factors:
            raise DataError(
                f"metric '{self.config.kind}' compares codes with known factors, and these data have none. Use a data set "
                'with factors, such as "sprites", or remove the metric.'
            )

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        codes = encode(model, context.limited(self.config.limit).batches(split), self.config.groups)
        assert codes.factors is not None
        varies = (codes.factors != codes.factors[:1]).any(0)
        names = [factor.name for factor, varying in zip(split.spec.factors, varies, strict=True) if varying]
        if not names:
            raise DataError(
                f"metric '{self.config.kind}': no factor varies in the first {len(codes)} data; raise \"limit\""
            )
        return self.score(codes, codes.factors[:, varies], names, context.seed)

    @abstractmethod
    def score(self, codes: Codes, factors: Array, names: list[str], seed: int) -> dict[str, Value]:
        """The values.

        Args:
            codes: of N data.
            factors: `[N, F]`, each with two values or more.
            names: of the factors.
            seed: of every draw.
        """


def higher(value: float) -> Value:
    """A pure number of which more is better."""
    return Value(float(value), unit="", better="higher")


def by_factor(name: str, values: Array, names: list[str]) -> dict[str, Value]:
    """The mean over the factors under `name`, and each factor's value under `name/factor`."""
    each = {f"{name}/{factor}": higher(value) for factor, value in zip(names, values, strict=True)}
    return {name: higher(values.mean()), **each}
