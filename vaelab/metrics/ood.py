"""Whether the model's scores tell other data from its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from vaelab.errors import ConfigError, DataError
from vaelab.metrics.base import EvaluationContext, Metric, Value
from vaelab.metrics.local_inference import Fit, before_and_after, has_diagonal_normal
from vaelab.metrics.passes import chunks, has_density, log_weight_sums
from vaelab.metrics.roc import auroc
from vaelab.model import VAE
from vaelab.registry import DATASETS, METRICS, ComponentConfig
from vaelab.types import Batch, DataSpec, DataSplits, Split

Score = Literal["nll", "regret", "typicality"]

_ASKED = "metric 'ood' compares the evaluated data with"


class OODConfig(ComponentConfig):
    """Arguments of the out-of-distribution scores."""

    kind: Literal["ood"] = "ood"

    data: Annotated[ComponentConfig, DATASETS]
    """Other data of the same shape, whose test split is told from the evaluated one; bits must be made in the same way."""

    scores: tuple[Score, ...] = Field(("nll", "regret", "typicality"), min_length=1)
    """Which scores: the negative log-likelihood, the likelihood regret, or the distance from the typical set."""

    limit: PositiveInt = 500
    """N, the first so many data of each side; also training data, chosen at random, of `typicality`."""

    samples: PositiveInt = 50
    """K, importance samples a datum, and draws that measure the regret; in the names."""

    steps: PositiveInt = 100
    """Steps of Adam a datum of `regret`; in the name."""

    rate: PositiveFloat = 0.05
    """Learning rate of the first of these steps; it falls linearly to 0."""

    draws: PositiveInt = 4
    """Draws of z in such a step."""

    group: PositiveInt = 1
    """Data that `typicality` judges together; in the name."""

    max_elements: PositiveInt = 2**21
    """Numbers a pass may hold in one tensor."""

    @classmethod
    def example(cls) -> OODConfig:
        data = {"kind": "digits", "binarisation": "dynamic", "train_limit": 8, "test_limit": 12}
        return cls.model_validate({"data": data, "limit": 10, "samples": 4, "steps": 2, "draws": 2})


@METRICS.register(OODConfig)
class OOD(Metric[OODConfig]):
    r"""AUROC with which scores of single data tell another data set from the evaluated split; 1/2 is chance.

    - `ood_auroc_nll_is50_digits`: $-\log\hat p(x)$ by K importance samples. Below 1/2 where the model finds the other data
      more likely than its own, as happens for simpler pictures (Nalisnick et al. 2019a).
    - `ood_auroc_regret_steps100_k50_digits`: the likelihood regret $\max_\tau \mathcal L(x; \tau) - \mathcal L(x; \operatorname{enc}(x))$
      with $\tau = (\mu, \sigma)$ of a diagonal normal, by Adam from the encoder's start (Xiao et al. 2020; they
      reach the same optimum by way of the encoder's weights). Absent unless the model has one latent group with such a posterior.
    - `ood_auroc_typicality_m1_is50_digits`: $\lvert \frac1M\sum_m -\log\hat p(x_m) - \hat H\rvert$ for M data together, with $\hat H$
      the mean of $-\log\hat p$ over training data (Nalisnick et al. 2019b).

    Each score is to be higher for the other data. The standard error is that of DeLong et al. (1988), for a fixed model and $\hat H$.
    Nothing where the model has no density.

    Raises ConfigError where the shapes, the kind of numbers, the conditions or the binarisation differ, and DataError where
    `typicality` was given no training data.

    *Bias*: none of the AUROC given the scores, which have the bias of `importance_nll`. *Cost*: K passes of the
    decoder a datum on both sides; the regret takes as many gradient steps a datum as its name says, and is by
    far the dearest.

    Use it to see whether a likelihood can be trusted as an alarm; a value holds for this other data set only, and data that differ
    by background or contrast are told apart by these alone.
    """

    def evaluate(self, model: VAE, split: Split, context: EvaluationContext) -> dict[str, Value]:
        config = self.config
        context = context.limited(config.limit)
        if not has_density(model, context.batches(split)):
            return {}
        other = self._other(model, split, context)
        sides = [list(context.batches(split)), list(context.batches(other))]
        values: dict[str, Value] = {}
        if {"nll", "typicality"} & set(config.scores):
            inside, outside = (self._nll(model, side) for side in sides)
            if "nll" in config.scores:
                values[self._name(f"nll_is{config.samples}")] = auroc(inside, outside)
            if "typicality" in config.scores:
                entropy = self._nll(model, self._train(model, context)).mean()
                found = [(_grouped(nll, config.group) - entropy).abs() for nll in (inside, outside)]
                values[self._name(f"typicality_m{config.group}_is{config.samples}")] = auroc(*found)
        if "regret" in config.scores and has_diagonal_normal(model, sides[0]):
            regret = [self._regret(model, side) for side in sides]
            values[self._name(f"regret_steps{config.steps}_k{config.samples}")] = auroc(*regret)
        return values

    def _name(self, score: str) -> str:
        return f"ood_auroc_{score}_{self.config.data.kind}"

    def check(self, data: DataSpec) -> None:
        theirs: DataSpec = DATASETS.build(self.config.data).spec
        for name, one, two in (
            ("shape", data.shape, theirs.shape),
            ("values", data.values, theirs.values),
            ("condition", data.condition_shape, theirs.condition_shape),
            ("hidden numbers", data.masked, theirs.masked),
        ):
            if one != two:
                raise ConfigError(
                    f"{_ASKED} '{self.config.data.kind}', and these differ in {name}: {one} and {two}. Choose other data for "
                    "the metric, or change how they are prepared."
                )

    def _other(self, model: VAE, split: Split, context: EvaluationContext) -> Split:
        loaded: DataSplits = DATASETS.build(self.config.data).load()
        made = loaded.provenance.get("binarisation")
        own_made = made if context.data is None else context.data.provenance.get("binarisation", made)
        if made != own_made:
            raise ConfigError(
                f"{_ASKED} '{self.config.data.kind}', and bits are made in two ways: '{own_made}' and '{made}'. Set "
                f'"binarisation": "{own_made}" in the data of the metric.'
            )
        if len(loaded.test) == 0:
            raise DataError(f"{_ASKED} '{self.config.data.kind}', whose test split is empty. Choose other data.")
        return loaded.test.to(model.device)

    def _train(self, model: VAE, context: EvaluationContext) -> Iterator[Batch]:
        if context.data is None:
            raise DataError(
                "metric 'ood': the score 'typicality' asks for training data, and the evaluation was given none. Pass `data` "
                "to EvaluationContext, or leave the score out."
            )
        return context.some(context.data.train.to(model.device), context.limit)

    def _nll(self, model: VAE, batches: Iterator[Batch] | list[Batch]) -> Tensor:
        samples, found = self.config.samples, []
        for whole in batches:
            for batch, counts in chunks(model, whole, samples, self.config.max_elements):
                found.append(math.log(samples) - log_weight_sums(model, batch, counts)[0])
        return torch.cat(found)

    def _regret(self, model: VAE, batches: list[Batch]) -> Tensor:
        config, found = self.config, []
        fit = Fit(config.steps, config.rate, config.draws)
        for whole in batches:
            for before, after in before_and_after(model, whole, fit, config.samples, config.max_elements):
                found.append(after.elbo - before.elbo)
        return torch.cat(found)


def _grouped(nll: Tensor, size: int) -> Tensor:
    """Means over groups of `size` data in their order; what is left over after the last whole one is not used."""
    number = len(nll) // size
    if number == 0:
        raise DataError(
            f"metric 'ood' judges {size} data together, and there are {len(nll)}. Lower 'group', or raise 'limit'."
        )
    return nll[: number * size].reshape(number, size).mean(1)
