"""Precision, recall, density and coverage of generated pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import PositiveInt

from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged
from vaelab.metrics.feature_distances import neighbourhoods
from vaelab.metrics.generated import GenerationConfig, compared
from vaelab.model import VAE
from vaelab.registry import METRICS
from vaelab.types import Split


class PrecisionRecallConfig(GenerationConfig):
    """Arguments of precision, recall, density and coverage."""

    kind: Literal["precision_recall"] = "precision_recall"

    number: PositiveInt = 5000
    """Generated pictures, and as many real ones; no more than the split has. The cost grows with its square."""

    neighbours: PositiveInt = 3
    """k: a ball reaches to the k-th nearest neighbour. Kynkaanniemi et al. take 3, Naeem et al. 5 for density and coverage."""

    @classmethod
    def example(cls) -> PrecisionRecallConfig:
        return cls(number=16)


@METRICS.register(PrecisionRecallConfig)
class PrecisionRecall(Metric[PrecisionRecallConfig]):
    r"""How many generated pictures look like data (precision, density), and how much of the data is reached (recall, coverage).

    With the ball $B_k(x)$ around each feature vector that reaches to its k-th nearest neighbour of its own set,

    - precision is the share of generated vectors in any $B_k$ of a real one, and recall that of real vectors in any $B_k$ of a
      generated one (Kynkaanniemi et al. 2019, equations 1 and 2),
    - density is the mean of $\frac1k \#\{i : y \in B_k(x_i)\}$ over generated $y$, which may exceed 1, and coverage the share of
      real $x$ whose $B_k(x)$ holds a generated vector (Naeem et al. 2020).

    As `precision_digits_k3_n5000` and so on. Balls are open, as in Naeem et al.'s own code, so that a set compared with itself
    has 1 for all four.

    Bias: all four depend on N and k, since balls shrink as N grows, and one outlier among the real vectors makes a
    ball that lets much in as precise; density and coverage are less moved by it. For two samples of one distribution the
    expected coverage is $1 - \prod_{j=1}^{k} \frac{N - j}{2N - j}$, about $1 - 2^{-k}$ (same paper). The standard
    errors hold the other side's balls fixed, so they are too small.

    Cost: N pictures generated and 2N seen by the extractor, which metrics of generation share, and $O(N^2F)$ for F features.
    Nothing where the data are no images.

    Use it to tell bad pictures from missing ones, which one distance such as `fid` adds up.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        k = self.config.neighbours
        found = compared(self.config.kind, self.config, model, split, context, least=k + 1)
        if found is None:
            return {}
        balls = neighbourhoods(found.real.features, found.fake.features, k)
        terms = {
            "precision": balls.precision,
            "recall": balls.recall,
            "density": balls.density,
            "coverage": balls.coverage,
        }
        end = f"{found.extractor}_k{k}_n{found.number}{found.suffix}"
        return {
            f"{name}_{end}": replace(averaged([term], "", "higher"), extractor=found.identity)
            for name, term in terms.items()
        }
