"""The kernel distance between generated and real pictures."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field

from vaelab.metrics.base import EvaluationContext, Metric, Value
from vaelab.metrics.feature_distances import polynomial_mmd
from vaelab.metrics.generated import GenerationConfig, compared
from vaelab.model import VAE
from vaelab.registry import METRICS
from vaelab.types import Split


class KidConfig(GenerationConfig):
    """Arguments of the kernel distance."""

    kind: Literal["kid"] = "kid"

    subset: Annotated[int, Field(ge=2)] = 1000
    """Pictures of each side in a subset; what is left over after the last whole one is not used."""

    @classmethod
    def example(cls) -> KidConfig:
        return cls(number=16, subset=5)


@METRICS.register(KidConfig)
class Kid(Metric[KidConfig]):
    r"""KID: the squared maximum mean discrepancy between features of real and of generated pictures.

    The kernel is $k(x, y) = (x^\top y / F + 1)^3$ for F features (Binkowski et al. 2018), the estimator
    the unbiased one of Gretton et al. (2012, equation 3), averaged over disjoint subsets of both sides; as
    `kid_digits_n10000`. The subsets are independent, so the standard error is that of their mean, $s / \sqrt{M}$ for M
    subsets. It is absent where there is but one. The paper draws its subsets with replacement, and their spread then says how
    they were drawn and not how far the estimate is from the truth.

    Bias: none, for any N; a value may be negative. Values with another extractor do not compare.

    Cost: N pictures generated and 2N seen by the extractor, which metrics of generation share, and $O(NSF)$ for subsets of
    S. Nothing where the data are no images.

    Use it where there are few pictures, or for differences that must be told from chance.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        found = compared(self.config.kind, self.config, model, split, context, least=2)
        if found is None:
            return {}
        size = min(self.config.subset, found.number)
        number = found.number // size
        # the data may be sorted; of a generator of its own, as other metrics may have generated the pictures already
        order = torch.randperm(found.number, generator=torch.Generator().manual_seed(context.seed))
        order = order[: number * size].reshape(number, size)
        real, fake = found.real.features, found.fake.features
        estimates = torch.tensor([polynomial_mmd(real[rows], fake[rows]) for rows in order], dtype=torch.float64)
        stderr = float(estimates.std()) / math.sqrt(number) if number > 1 else None
        name = f"kid_{found.extractor}_n{found.number}{found.suffix}"
        return {name: Value(float(estimates.mean()), stderr, "", "lower", found.identity)}
