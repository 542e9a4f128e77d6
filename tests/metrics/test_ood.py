"""Scores that tell other data from the model's own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from core.models import flat_model
from vaelab.datasets import Dataset, MemorySplit
from vaelab.errors import ConfigError, DataError
from vaelab.metrics import EvaluationContext, measure
from vaelab.metrics.ood import OODConfig
from vaelab.metrics.roc import auroc
from vaelab.registry import DATASETS, ComponentConfig
from vaelab.types import DataSpec, DataSplits


class OtherConfig(ComponentConfig):
    """Of the other data."""

    kind: Literal["test_other"] = "test_other"


class Other(Dataset[Any]):
    """Whatever the test puts here."""

    splits: ClassVar[DataSplits]

    @property
    def spec(self) -> DataSpec:
        return self.splits.test.spec

    def load(self) -> DataSplits:
        return self.splits


@pytest.fixture
def other() -> Iterator[type[Other]]:
    DATASETS.register(OtherConfig)(Other)
    yield Other
    DATASETS.unregister("test_other")


def config(**changes: Any) -> OODConfig:
    return OODConfig.model_validate({"data": "test_other", "samples": 20, "steps": 60} | changes)


def splits(x: torch.Tensor, train: torch.Tensor | None = None, **provenance: Any) -> DataSplits:
    spec = DataSpec(tuple(x.shape[1:]), "real")
    return DataSplits(
        MemorySplit(spec, x if train is None else train, None), None, MemorySplit(spec, x, None), provenance
    )


@pytest.fixture
def own(linear) -> DataSplits:
    g = torch.Generator().manual_seed(5)
    noise = torch.randn(2, 400, 8, generator=g)
    x = noise[..., :2] @ linear.weight.T + linear.bias + 0.7 * noise[..., 2:]
    return splits(x[0, :200], x[1])


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_is_scikit_learns_and_its_error_that_of_resampling(ties: bool):
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(size=90), 0.8 + 1.5 * rng.normal(size=60)
    if ties:
        inside, outside = inside.round(), outside.round()
    value = auroc(torch.from_numpy(inside), torch.from_numpy(outside))

    def reference(a: Any, b: Any) -> float:
        return roc_auc_score(np.repeat([0, 1], [len(a), len(b)]), np.concatenate([a, b]))

    assert value.value == pytest.approx(reference(inside, outside), abs=1e-12)
    drawn = [reference(rng.choice(inside, 90), rng.choice(outside, 60)) for _ in range(400)]
    # the spread of 400 draws is known to 1 / sqrt(800)
    assert value.stderr == pytest.approx(np.std(drawn), rel=5 / math.sqrt(800))


def test_auroc_of_two_normals_is_the_one_in_closed_form():
    """s_out - s_in is normal with mean 1 and variance 1 + 4."""
    g = torch.Generator().manual_seed(0)
    value = auroc(torch.randn(3000, generator=g), 1 + 2 * torch.randn(3000, generator=g))
    expected = float(torch.special.ndtr(torch.tensor(1 / math.sqrt(5))))
    assert abs(value.value - expected) < 5 * value.stderr
    assert auroc(torch.zeros(3), torch.zeros(4)).value == 0.5
    assert auroc(torch.zeros(1), torch.ones(4)).stderr is None


def test_scores_are_those_of_the_exact_likelihood(linear, own, other):
    """Under the exact posterior each importance weight is p(x), so AUROCs follow from the normal's density."""
    g = torch.Generator().manual_seed(6)
    shifted = own.test.fetch(torch.arange(150)).x + 0.9 * torch.randn(150, 6, generator=g)
    other.splits = splits(shifted)
    values = measure([config()], linear.model(), own.test, EvaluationContext(data=own))
    assert list(values) == [
        "ood_auroc_nll_is20_test_other",
        "ood_auroc_typicality_m1_is20_test_other",
        "ood_auroc_regret_steps60_k20_test_other",
    ]
    inside, outside, train = (
        -linear.marginal.log_prob(x)
        for x in (own.test.fetch(torch.arange(200)).x, shifted, own.train.fetch(torch.arange(400)).x)
    )
    label = np.repeat([0, 1], [200, 150])
    expected = roc_auc_score(label, torch.cat([inside, outside]))
    assert 0.6 < expected < 0.95
    assert values["ood_auroc_nll_is20_test_other"].value == pytest.approx(expected, abs=1e-3)
    typical = roc_auc_score(label, (torch.cat([inside, outside]) - train.mean()).abs())
    assert values["ood_auroc_typicality_m1_is20_test_other"].value == pytest.approx(typical, abs=1e-3)
    # the encoder is the best there is, for all x: what is regretted is noise
    assert abs(values["ood_auroc_regret_steps60_k20_test_other"].value - 0.5) < 0.2


def test_typicality_finds_data_that_are_too_likely(linear, own, other):
    """Data near the mode have a higher likelihood than the model's own (Nalisnick et al. 2019a)."""
    other.splits = splits(linear.bias + 0.05 * torch.randn(60, 6))
    chosen = {"scores": ("nll", "typicality")}
    values = measure([config(**chosen)], linear.model(), own.test, EvaluationContext(data=own))
    assert values["ood_auroc_nll_is20_test_other"].value < 0.05
    alone = values["ood_auroc_typicality_m1_is20_test_other"].value
    assert alone > 0.6
    [grouped] = measure(
        [config(scores=("typicality",), group=10)], linear.model(), own.test, EvaluationContext(data=own)
    ).values()
    assert grouped.value == pytest.approx(1.0)


def test_groups_are_means_of_whole_groups(linear, own, other):
    g = torch.Generator().manual_seed(7)
    shifted = own.test.fetch(torch.arange(47)).x + 0.4 * torch.randn(47, 6, generator=g)
    other.splits = splits(shifted)
    [found] = measure(
        [config(scores=("typicality",), group=5)], linear.model(), own.test, EvaluationContext(data=own)
    ).items()
    nll = [-linear.marginal.log_prob(x) for x in (own.test.fetch(torch.arange(200)).x, shifted[:45])]
    entropy = -linear.marginal.log_prob(own.train.fetch(torch.arange(400)).x).mean()
    score = torch.cat([part.reshape(-1, 5).mean(1) for part in nll])
    expected = roc_auc_score(np.repeat([0, 1], [40, 9]), (score - entropy).abs())
    assert found[0] == "ood_auroc_typicality_m5_is20_test_other"
    assert found[1].value == pytest.approx(expected, abs=1e-2)


def test_regret_finds_data_for_which_the_encoder_is_wrong(linear, own, other):
    """An encoder that is exact near the data and cut off beyond them, as a trained one would be."""
    model = linear.model()
    [encoder] = [module for module in model.encoder.modules() if isinstance(module, torch.nn.Linear)]
    with torch.no_grad():  # the negative half of x + 20 is never seen: wrong below -20 alone
        encoder.bias[:6], encoder.bias[6:] = 20.0, -1e6
        [head] = [module for module in model.posterior.modules() if isinstance(module, torch.nn.Linear)]
        gain = head.weight[:2, :6]
        head.bias[:2] -= 20.0 * gain.sum(1)
    far = linear.bias + 30 * linear.weight[:, :1].T.sign() * torch.ones(50, 1)
    far = far + torch.randn(50, 6)
    other.splits = splits(far)
    [value] = measure([config(scores=("regret",))], model, own.test, EvaluationContext()).values()
    assert value.value == 1.0


def test_the_same_distribution_cannot_be_told(linear, own, other):
    other.splits = splits(own.train.fetch(torch.arange(200)).x)
    values = measure([config(steps=10)], linear.model(exact=False), own.test, EvaluationContext(data=own))
    for value in values.values():
        assert abs(value.value - 0.5) < 5 * value.stderr


def test_no_regret_for_other_posteriors_and_nothing_without_a_density(tiny_splits, other):
    data = tiny_splits()
    other.splits = data
    for posterior, number in (("laplace", 2), ("dirac", 0)):
        values = measure([config(samples=3)], flat_model(posterior=posterior), data.test, EvaluationContext(data=data))
        assert len(values) == number
        assert not any("regret" in name for name in values)


def test_a_real_data_set_and_its_names(tiny_splits):
    data = tiny_splits()
    values = measure([OODConfig.example()], flat_model(), data.test, EvaluationContext(data=data))
    assert list(values) == [
        "ood_auroc_nll_is4_digits", "ood_auroc_typicality_m1_is4_digits", "ood_auroc_regret_steps2_k4_digits",
    ]  # fmt: skip
    assert all((value.unit, value.better) == ("", "higher") for value in values.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (1, 6, 8)}, r"differ in shape: \(1, 8, 8\) and \(1, 6, 8\)"),
        ({"values": "unit"}, "differ in values: binary and unit"),
    ],
)
def test_other_shapes_and_values_are_refused(changes, message, tiny_splits, other):
    data = tiny_splits()
    other.splits = tiny_splits(**changes)
    with pytest.raises(ConfigError, match=f"metric 'ood'.*'test_other'.*{message}"):
        measure([config()], flat_model(), data.test, EvaluationContext(data=data))


def test_bits_must_be_made_in_one_way(linear, own, other):
    evaluated = DataSplits(own.train, None, own.test, {"binarisation": "dynamic"})
    other.splits = splits(own.test.fetch(torch.arange(5)).x, binarisation="threshold")
    with pytest.raises(ConfigError, match=r"'dynamic' and 'threshold'. Set \"binarisation\": \"dynamic\""):
        measure([config()], linear.model(), own.test, EvaluationContext(data=evaluated))
    # without knowing, there is nothing to say against it
    assert measure([config(scores=("nll",))], linear.model(), own.test, EvaluationContext())


def test_what_is_missing_is_named(linear, own, other):
    other.splits = splits(own.test.fetch(torch.arange(5)).x)
    with pytest.raises(DataError, match=r"'typicality' asks for training data.*Pass `data`"):
        measure([config()], linear.model(), own.test, EvaluationContext())
    with pytest.raises(DataError, match=r"judges 6 data together, and there are 5. Lower 'group'"):
        measure([config(group=6)], linear.model(), own.test, EvaluationContext(data=own))
    other.splits = splits(torch.zeros(0, 6))
    with pytest.raises(DataError, match="whose test split is empty"):
        measure([config()], linear.model(), own.test, EvaluationContext(data=own))
