"""Bits per dimension."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from vaelab.distributions import AutoregressivePixels, Bernoulli
from vaelab.errors import BuildError
from vaelab.inference import score
from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged
from vaelab.metrics.passes import chunks, has_density, log_weight_sums
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Batch, Split, numel


class BitsPerDimConfig(ComponentConfig):
    """Arguments of the bits per dimension."""

    kind: Literal["bits_per_dim"] = "bits_per_dim"

    dequantisation: Literal["none", "uniform"] = "none"
    """`none` where the likelihood gives probabilities of levels (categorical, discretised logistic, bits); `uniform`
    where it is a density on [0, 1], to which uniform noise of one level's width is then added."""

    levels: int = Field(256, ge=2)
    """L: the data in [0, 1] are multiples of 1 / (L - 1). Used by uniform dequantisation."""

    samples: PositiveInt = 128
    """K, importance samples a datum."""

    limit: PositiveInt | None = None
    """Use the first so many data only; null for all."""

    max_elements: PositiveInt = 2**21
    """Numbers a pass may hold in one tensor."""

    @classmethod
    def example(cls) -> BitsPerDimConfig:
        return cls.model_validate({"samples": 3, "limit": 10, "dequantisation": "uniform"})


@METRICS.register(BitsPerDimConfig)
class BitsPerDim(Metric[BitsPerDimConfig]):
    r"""The importance-sampled negative log-likelihood in bits a dimension, with the way from levels to densities in the name.

    For probabilities of levels, $-\log\hat p(x) / (D\log 2)$ is `bpd_is128`. For a density the level $v = (L-1)x$ becomes
    $y = (v + u)/L$ with $u \sim \mathcal{U}(0, 1)^D$, and

    $$\frac{-\log\hat p(y)}{D\log 2} + \log_2 L$$

    is `bpd_uniform256_is128`, which bounds $-\log_2 P(v)/D$ from above in expectation, where P is the probability that the
    density gives to a level's bin (Theis et al. 2016, section 3.1). The two do not compare as equals: the gap of the bound
    is part of the second. K is part of the name as in `importance_nll`. D counts every number of a datum, colours too.

    *Bias*: that of `importance_nll`, upwards, and with uniform noise that of the bound besides. *Cost*: K
    passes of the decoder a datum.

    Use it for images of 8 bits, whose published likelihoods are in this unit. Nothing for real-valued or incomplete data,
    for models without a density, for uniform noise on bits, and for the cross-entropy of grey levels.
    """

    by_datum = True

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        config, spec = self.config, model.data
        uniform = config.dequantisation == "uniform"
        wanted = ("unit",) if uniform else ("unit", "binary")
        if spec.masked or spec.values not in wanted or not has_density(model, context.batches(split)):
            return {}
        dimensions = numel(spec.shape)
        bits: list[Tensor] = []
        for whole in context.limited(config.limit).batches(split):
            dequantised = self._noisy(whole) if uniform else whole
            if not bits and not uniform and not self._probabilities(model, whole):
                return {}
            for batch, counts in chunks(model, dequantised, config.samples, config.max_elements):
                total, _, _ = log_weight_sums(model, batch, counts)
                bits.append((math.log(config.samples) - total) / (dimensions * math.log(2)))
        shift = math.log2(config.levels) if uniform else 0.0
        name = f"bpd_uniform{config.levels}_is{config.samples}" if uniform else f"bpd_is{config.samples}"
        return {name: averaged([part + shift for part in bits], unit="bits", better="lower")}

    def _noisy(self, batch: Batch) -> Batch:
        level = (batch.x * (self.config.levels - 1)).round()
        return replace(batch, x=(level + torch.rand_like(level)) / self.config.levels)

    def _probabilities(self, model: VAE, batch: Batch) -> bool:
        """Whether the likelihood is one of levels, or no likelihood at all.

        A probability of levels rounds its data, so that a shift by a fifth of a level changes nothing; a density changes.

        Raises:
            BuildError: it is a density.
        """
        few = batch.rows(slice(0, 16))
        likelihood = model.infer(few).likelihood
        if type(likelihood) is Bernoulli or model.data.values == "binary":
            return model.data.values == "binary"
        shifted = replace(few, x=few.x + 0.2 / (self.config.levels - 1) * (0.5 - few.x).sign())
        one, other = score(likelihood, few), score(likelihood, shifted)
        # a network that reads the pixels may see the shift, whatever it says of them
        if not isinstance(likelihood, AutoregressivePixels) and not torch.allclose(one, other, rtol=1e-6):
            raise BuildError(
                "metric 'bits_per_dim': the likelihood of this model is a density and no probability of levels. Set "
                '"dequantisation": "uniform".'
            )
        return True
