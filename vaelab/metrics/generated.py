"""Generated pictures beside real ones, as an extractor sees them; what the metrics of generation share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from vaelab.errors import DataError
from vaelab.metrics.base import EvaluationContext, seeded
from vaelab.metrics.passes import offered
from vaelab.model import VAE
from vaelab.registry import EXTRACTORS, SAMPLERS, ComponentConfig, default
from vaelab.types import Batch, DataSplits, Split

if TYPE_CHECKING:
    from vaelab.extractors import Extracted, Extractor
    from vaelab.inference import Generation
    from vaelab.samplers import Sampler


class GenerationConfig(ComponentConfig):
    """Arguments of every metric of generation."""

    number: PositiveInt = 10_000
    """Generated pictures, and as many real ones; no more than the split has."""

    extractor: Annotated[ComponentConfig, EXTRACTORS] = default("digits")
    """What sees the pictures; its kind is part of the names of the values."""

    sampler: Annotated[ComponentConfig, SAMPLERS] = default("prior")
    """Where the latents come from; in the names, unless it is the prior."""

    temperature: PositiveFloat = 1.0
    """Of the latents; in the names, unless it is 1."""

    pictures: Literal["mean", "draw"] | None = None
    """Generated pictures are E[x | z], or draws of p(x | z); in the names where it is given. Null for draws where the data are
    bits, so that like is compared with like, and else the mean."""


@dataclass(frozen=True)
class Compared:
    """Real and generated pictures as an extractor saw them.

    Attributes:
        real: of N pictures, on the CPU.
        fake: of N generated ones.
        extractor: kind of the extractor.
        identity: its kind and the beginning of its checksum.
        suffix: of names of values: what is not the default, such as `_gmm`.
    """

    real: Extracted
    fake: Extracted
    extractor: str
    identity: str
    suffix: str

    @property
    def number(self) -> int:
        """N."""
        return len(self.fake.features)


def compared(
    metric: str, config: GenerationConfig, model: VAE, split: Split, context: EvaluationContext, least: int = 1
) -> Compared | None:
    """Real pictures of the split and as many generated ones, or None where the data are no images.

    Conditional models are given the conditions of the real pictures, so that labels have the proportions of the data.
    Metrics that agree in these arguments share the work within one evaluation.

    Args:
        metric: kind of the metric, for messages.
        config: of the metric.
        model: the model.
        split: the real pictures.
        context: of the evaluation.
        least: pictures that the metric needs.

    Raises:
        DataError: the data are not what the extractor is for, or too few, or missing for a sampler that is fitted.
    """
    if len(split.spec.shape) != 3:
        return None
    context = context.limited(config.number)
    number = len(split) if context.limit is None else min(len(split), context.limit)
    if number < least:
        raise DataError(
            f"metric '{metric}' needs {least} pictures, and there are {number}. Raise 'number', or take a larger split."
        )
    key = f"{number} {config.model_dump_json(include=set(GenerationConfig.model_fields) - {'kind'})}"
    if key not in context.memory:
        with seeded(context.seed):  # so that what a metric draws does not depend on which came first
            context.memory[key] = _compare(metric, config, model, split, context)
    found: Compared = context.memory[key]
    return found


def _compare(metric: str, config: GenerationConfig, model: VAE, split: Split, context: EvaluationContext) -> Compared:
    extractor: Extractor[Any] = EXTRACTORS.build(config.extractor)
    extractor.check(split.spec)
    extractor.to(model.device).eval()
    sampler: Sampler[Any] = SAMPLERS.build(config.sampler)
    sampler.fit(model, lambda: _data(metric, config, context))
    draws = config.pictures == "draw" or (config.pictures is None and split.spec.values == "binary")

    conditions: list[tuple[int, Tensor | None]] = []

    def real() -> Iterator[Tensor]:
        for batch in context.batches(split):
            conditions.append((len(batch), batch.condition))
            yield whole(batch)

    def fake() -> Iterator[Tensor]:
        for number, condition in conditions:
            yield pictures_of(sampler.sample(number, config.temperature, condition), draws)

    seen = _extracted(extractor, real())
    generated = _extracted(extractor, fake())
    return Compared(seen, generated, config.extractor.kind, extractor.identity, _suffix(config))


def whole(batch: Batch) -> Tensor:
    """The data with pixels that the model does not see."""
    return batch.x if batch.complete is None else batch.complete


def pictures_of(generation: Generation, draws: bool) -> Tensor:
    """E[x | z] `[N, *shape]`, or draws of p(x | z) where asked for or where there is no mean in closed form."""
    mean = None if draws else offered(generation.likelihood, "mean")
    return generation.sample() if mean is None else mean[0]


def _extracted(extractor: Extractor[Any], pictures: Iterator[Tensor]) -> Extracted:
    parts = [extractor(part) for part in pictures]
    features = torch.cat([part.features.cpu() for part in parts])
    logits = None if parts[0].logits is None else torch.cat([part.logits.cpu() for part in parts])
    return replace(parts[0], features=features, logits=logits)


def _data(metric: str, config: GenerationConfig, context: EvaluationContext) -> DataSplits:
    if context.data is None:
        raise DataError(
            f"metric '{metric}': sampler '{config.sampler.kind}' is fitted to training data, and the evaluation was given "
            "none. Pass `data` to EvaluationContext, or use the sampler 'prior'."
        )
    return context.data


def _suffix(config: GenerationConfig) -> str:
    sampler = "" if config.sampler.kind == "prior" else f"_{config.sampler.kind}"
    temperature = "" if config.temperature == 1 else f"_t{config.temperature:g}"
    pictures = "" if config.pictures is None else f"_{config.pictures}"
    return sampler + temperature + pictures
