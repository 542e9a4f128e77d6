"""What samplers share that fit a density to the latents of the training data."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeVar

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from vaelab.errors import BuildError, DataError
from vaelab.inference import Generation, Group, infer_latents
from vaelab.latents import LatentVector
from vaelab.metrics.base import Value, averaged, seeded
from vaelab.model import VAE
from vaelab.registry import ComponentConfig
from vaelab.samplers.base import Sampler
from vaelab.types import DataSplits, Split

#: Data encoded at a time.
_BATCH = 500


class FittedConfig(ComponentConfig):
    """Arguments of every sampler that is fitted."""

    limit: PositiveInt = 10_000
    """Fit to at most so many training data, chosen at random."""

    seed: NonNegativeInt = 0
    """Of that choice, of the latents and of the fit, apart from that of the samples."""


class RealLatentsConfig(FittedConfig):
    """Arguments of a sampler that is fitted to real latents."""

    latents: Literal["draws", "means"] = "draws"
    """What stands for a datum: a draw of its posterior, so that the density is that of the aggregate posterior, or the
    posterior's mean."""

    groups: PositiveInt | None = None
    """Fit the first so many latent groups, all of them jointly; the others follow the model's prior given these. Null for
    all."""


class Density(Protocol):
    """A density of latents."""

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density `[M]`, nats, of latents `[M, ...]`."""
        ...

    def sample(self, number: int, temperature: float = 1.0) -> Tensor:
        """Latents `[number, ...]`, by the global random state."""
        ...


C = TypeVar("C", bound=FittedConfig)
R = TypeVar("R", bound=RealLatentsConfig)


class FittedSampler(Sampler[C]):
    """Fits a density to the latents of the training data. A subclass writes `check`, `encoded`, `density` and `fixed`.

    For a conditional model there is one density a label, fitted to the data of that label. Where no condition is asked for,
    labels are drawn with the frequencies that they have in the training data.

    The latents that measure the fit are those of the validation data, or of a tenth of the chosen training data where there
    are none; test data are never read. `values` holds their mean log-likelihood and that of the latents fitted.
    """

    def fit(self, model: VAE, data: Callable[[], DataSplits]) -> None:
        self.model = model
        self.check(model)
        self.labels = number_of_labels(model)
        splits = data()
        with seeded(self.config.seed), model.evaluating():
            fitted, held_out = self._encode(splits)
            self.densities: list[Density] = []
            for label, (z, other) in enumerate(zip(fitted, held_out, strict=True)):
                if len(z) < 2:
                    which = f" of label {label}" if self.labels else ""
                    raise DataError(
                        f"sampler '{self.config.kind}': there are {len(z)} training data{which} to fit to. Raise 'limit'."
                    )
                with torch.enable_grad():
                    self.densities.append(self.density(z, other))
            self.frequencies = torch.tensor([float(len(z)) for z in fitted])
            with torch.no_grad():
                self.values = {
                    "latents": Value(float(self.frequencies.sum()), unit=""),
                    **self.measure(fitted, held_out),
                }

    def sample(self, number: int, temperature: float = 1.0, condition: Tensor | None = None) -> Generation:
        if not self.labels:
            z = self.densities[0].sample(number, temperature)
            return self.model.generate(number, temperature, fixed=self.fixed(z), condition=condition)
        if condition is None:
            drawn = torch.multinomial(self.frequencies, number, replacement=True)
            condition = F.one_hot(drawn, self.labels).float().to(self.model.device)
        labels = condition.argmax(1)
        order, parts = [], []
        for label in labels.unique().tolist():
            rows = (labels == label).nonzero().squeeze(1)
            order.append(rows)
            parts.append(self.densities[label].sample(len(rows), temperature))
        z = torch.cat(parts)[torch.cat(order).argsort()]
        return self.model.generate(number, temperature, fixed=self.fixed(z), condition=condition)

    @abstractmethod
    def check(self, model: VAE) -> None:
        """Refuse a model whose latents are not what the sampler is for.

        Raises:
            BuildError: naming the latents and what to use in place of the sampler.
        """

    @abstractmethod
    def encoded(self, groups: Sequence[Group]) -> Tensor:
        """What a density is fitted to, `[B, ...]`, of the groups of a pass."""

    @abstractmethod
    def density(self, z: Tensor, held_out: Tensor) -> Density:
        """The density fitted to `z` `[M, ...]`. Called with gradients, and with the random state seeded."""

    @abstractmethod
    def fixed(self, z: Tensor) -> Mapping[int, Tensor]:
        """Draws of a density as latents by group, as `generate` takes them."""

    def measure(self, fitted: Sequence[Tensor], held_out: Sequence[Tensor]) -> dict[str, Value]:
        """What `values` says of the fit, of latents by label."""

        def mean(latents: Sequence[Tensor]) -> Value:
            return averaged((d.log_prob(z) for d, z in zip(self.densities, latents, strict=True)), better="higher")

        return {"log_likelihood": mean(held_out), "log_likelihood_fitted": mean(fitted)}

    @property
    def mean(self) -> bool:
        """Whether posteriors' means are fitted in place of draws."""
        return False

    def _encode(self, splits: DataSplits) -> tuple[list[Tensor], list[Tensor]]:
        """Latents to fit to and latents held out, by label."""
        rows = torch.randperm(len(splits.train))[: self.config.limit]
        if splits.validation is None:
            held = max(1, len(rows) // 10)
            return self._latents(splits.train, rows[held:]), self._latents(splits.train, rows[:held])
        held = max(1, self.config.limit // 10)
        return self._latents(splits.train, rows), self._latents(
            splits.validation, torch.randperm(len(splits.validation))[:held]
        )

    def _latents(self, split: Split, rows: Tensor) -> list[Tensor]:
        found, labels = [], []
        with torch.no_grad():
            for batch in split.to(self.model.device).batches(rows, _BATCH):
                groups, _ = infer_latents(self.model, batch, mean=self.mean)
                found.append(self.encoded(groups))
                if self.labels:
                    assert batch.condition is not None
                    labels.append(batch.condition.argmax(1))
        z = torch.cat(found)
        return [z[torch.cat(labels) == label] for label in range(self.labels)] if self.labels else [z]


class RealLatentsSampler(FittedSampler[R]):
    """Fits a density to a vector of real latents. A subclass writes `density`."""

    def check(self, model: VAE) -> None:
        self.vector = LatentVector.of(model.prior.latent, f"sampler '{self.config.kind}'", self.config.groups)

    def encoded(self, groups: Sequence[Group]) -> Tensor:
        return self.vector.drawn(groups)

    def fixed(self, z: Tensor) -> Mapping[int, Tensor]:
        return self.vector.split(z)

    @property
    def mean(self) -> bool:
        return self.config.latents == "means"


def number_of_labels(model: VAE) -> int:
    """How many densities a conditional model needs; 0 where there is no condition.

    Raises:
        BuildError: the condition is no label.
    """
    shape = model.data.condition_shape
    if shape is None:
        return 0
    if model.data.condition_values != "one_hot":
        raise BuildError(
            f"the model is conditioned on {shape} real numbers, and samplers fit one density a label. Use the sampler "
            "'prior'."
        )
    return shape[0]
