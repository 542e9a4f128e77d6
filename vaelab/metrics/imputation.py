"""How well hidden numbers are imputed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from vaelab.errors import DataError
from vaelab.imputation import impute
from vaelab.metrics.base import EvaluationContext, Metric, Value, averaged
from vaelab.metrics.passes import has_density
from vaelab.model import VAE
from vaelab.registry import METRICS, ComponentConfig
from vaelab.types import Batch, Split

if TYPE_CHECKING:
    from sklearn.impute import KNNImputer


class ImputationConfig(ComponentConfig):
    """Arguments of the imputation error."""

    kind: Literal["imputation"] = "imputation"

    samples: PositiveInt = 100
    """K, importance samples a datum."""

    limit: PositiveInt | None = 1000
    """Use the first so many data only; null for all."""

    neighbours: PositiveInt | None = None
    """k, for comparison impute from the nearest training data too."""

    donors: PositiveInt = 10_000
    """Training data among which these are looked for, chosen at random."""

    @classmethod
    def example(cls) -> ImputationConfig:
        return cls(samples=5, limit=20)


@METRICS.register(ImputationConfig)
class ImputationError(Metric[ImputationConfig]):
    r"""Errors of imputed numbers where they were hidden, a mean over the hidden numbers of a datum.

    `imputation_mse_is100`: $(x^m - \hat x^m)^2$ with $\hat x^m$ the self-normalised importance-sampling estimate of
    $\mathbb E[x^m \mid x^o]$ (Mattei & Frellsen 2019, section 3), K in the name, to be doubted where the effective
    sample size `imputation_ess_is100` is small. `imputation_mae_draw_is100`: $\lvert x^m - \tilde x^m\rvert$ of one
    draw by sampling importance resampling, for bits the share that is wrong. For comparison
    `imputation_mse_mean`: the error of each number's mean over the data in which it was observed, and `imputation_mse_knn10`:
    of its mean over the 10 nearest `donors` that have it, by the distance of what both have (scikit-learn's `KNNImputer`;
    Troyanskaya et al. 2001). Nothing where the data are complete, or where the model has no importance weights.

    *Bias*: that of self-normalised importance sampling, towards the posterior's mean, which falls like 1/K. *Cost*: one
    pass of the encoder and K of the decoder a datum. Neighbours take some 50 ms a datum among 10,000 pictures of 784 pixels.

    Use it for models of incomplete data when the truth is known; a small squared error of the mean says nothing about
    how varied the imputations are.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        context = context.limited(self.config.limit)
        if not split.spec.masked or not has_density(model, context.batches(split)):
            return {}
        means = self._means(split, context)
        near = self._neighbours(context)
        estimated: list[Tensor] = []
        drawn: list[Tensor] = []
        simple: list[Tensor] = []
        nearest: list[Tensor] = []
        ess: list[Tensor] = []
        for batch in context.batches(split):
            assert batch.observed is not None
            if batch.complete is None:  # hidden numbers that nobody knows
                return {}
            found = impute(model, batch, self.config.samples, draws=1)
            hidden = (~batch.observed).flatten(1)
            number = hidden.sum(1)
            some = number > 0
            guesses = [(estimated, found.mean), (drawn, found.draws[0]), (simple, means.expand_as(batch.x))]
            if near is not None:
                filled = torch.as_tensor(near.transform(_with_holes(batch)))
                guesses.append((nearest, filled.to(batch.x).view_as(batch.x)))
            for errors, guess in guesses:
                error = (guess - batch.complete).flatten(1) * hidden
                error = error.abs() if errors is drawn else error.square()
                errors.append((error.sum(1) / number)[some])
            ess.append(found.ess)
        name = f"is{self.config.samples}"
        values = {
            f"imputation_mse_{name}": averaged(estimated, unit="", better="lower"),
            f"imputation_mae_draw_{name}": averaged(drawn, unit="", better="lower"),
            "imputation_mse_mean": averaged(simple, unit="", better="lower"),
            f"imputation_ess_{name}": averaged(ess, unit="samples", better="higher"),
        }
        if near is not None:
            values[f"imputation_mse_knn{self.config.neighbours}"] = averaged(nearest, unit="", better="lower")
        return values

    def _neighbours(self, context: EvaluationContext) -> KNNImputer | None:
        if self.config.neighbours is None:
            return None
        if context.data is None:
            raise DataError(
                "metric 'imputation' looks for neighbours among training data, and the evaluation was given none. Pass `data` "
                "to EvaluationContext, or remove 'neighbours'."
            )
        from sklearn.impute import KNNImputer

        donors = [_with_holes(batch) for batch in context.some(context.data.train, self.config.donors)]
        return KNNImputer(n_neighbors=self.config.neighbours, keep_empty_features=True).fit(np.concatenate(donors))

    @staticmethod
    def _means(split: Split, context: EvaluationContext) -> Tensor:
        total, number = torch.zeros(()), torch.zeros(())
        for batch in context.batches(split):
            assert batch.observed is not None
            total = total.to(batch.x) + (batch.x * batch.observed).sum(0)
            number = number.to(batch.x) + batch.observed.sum(0)
        return total / number.clamp_min(1)


def _with_holes(batch: Batch) -> np.ndarray[Any, Any]:
    """`[B, D]` with NaN where nothing was observed."""
    assert batch.observed is not None
    holes: np.ndarray[Any, Any] = batch.x.masked_fill(~batch.observed, torch.nan).flatten(1).cpu().numpy()
    return holes
