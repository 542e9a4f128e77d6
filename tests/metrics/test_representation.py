"""The metrics that compare latents with labels, and their arithmetic."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor

from vaelab.build import build_model
from vaelab.config import ModelConfig
from vaelab.datasets import MemorySplit
from vaelab.errors import ConfigError, DataError
from vaelab.metrics import EvaluationContext, measure
from vaelab.metrics.classifiers import few_of_each, logistic_regression, matched_accuracy
from vaelab.metrics.labelled_codes import train_and_test
from vaelab.registry import METRICS
from vaelab.types import DataSpec, DataSplits

PROBES = ("linear_probe", "knn", "few_label_probe")
ALL = (*PROBES, "clustering")


def blobs(linear: Any, number: int, centres: Tensor, spread: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Data whose exact posterior means are normals around a centre a class; with the means and the labels."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(number) % len(centres)
    mean = centres[y] + spread * torch.randn(number, centres.shape[1], generator=g)
    # the means are G (x - b), and G has orthogonal rows: this is the shortest x with these means
    gain = linear.posterior_variance[:, None] * linear.weight.T / 0.7**2
    return mean @ torch.linalg.pinv(gain).T + linear.bias, mean, y


def data_of(linear: Any, centres: Tensor, spread: float, train: int = 300, test: int = 200) -> DataSplits:
    spec = DataSpec((6,), "real", len(centres))
    parts = [blobs(linear, number, centres, spread, seed) for seed, number in enumerate((train, test))]
    splits = [MemorySplit(spec, x, y) for x, _, y in parts]
    return DataSplits(splits[0], None, splits[1], {})


TRIANGLE = torch.tensor([[0.0, 4.0], [4.0, 0.0], [-4.0, -4.0]])


def test_classes_far_apart_are_told_without_an_error(linear):
    data = data_of(linear, TRIANGLE, 0.3)
    configs = [METRICS[kind].config(**({"labels": (2, 5)} if kind == "few_label_probe" else {})) for kind in ALL]
    values = measure(configs, linear.model(), data.test, EvaluationContext(data=data))
    assert set(values) == {
        "linear_probe_accuracy_n300", "knn_accuracy_k5_n300", "few_label_accuracy_l2_draws10", "few_label_spread_l2_draws10",
        "few_label_accuracy_l5_draws10", "few_label_spread_l5_draws10", "clustering_nmi_k3_n200", "clustering_ari_k3_n200",
        "clustering_accuracy_k3_n200",
    }  # fmt: skip
    for name, value in values.items():
        assert value.value == pytest.approx(0.0 if "spread" in name else 1.0, abs=1e-12), name
        assert value.unit == ""


def test_accuracies_of_two_normals_are_those_of_the_bayes_rule(linear):
    """Two classes at distance 2: the best accuracy is the normal's distribution function at 1, whatever the classifier."""
    data = data_of(linear, torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), 1.0, train=4000, test=4000)
    configs = [METRICS["linear_probe"].config(), METRICS["knn"].config(neighbours=151)]
    values = measure(configs, linear.model(), data.test, EvaluationContext(data=data))
    best = float(torch.special.ndtr(torch.tensor(1.0, dtype=torch.float64)))
    for value in values.values():
        assert value.stderr == pytest.approx(math.sqrt(best * (1 - best) / 4000), rel=0.05)
        assert abs(value.value - best) < 5 * value.stderr


def test_labels_that_the_latents_do_not_tell_are_told_by_chance(linear):
    data = data_of(linear, torch.zeros(4, 2), 1.0, train=800, test=800)
    configs = [METRICS["linear_probe"].config(), METRICS["knn"].config(), METRICS["clustering"].config()]
    values = measure(configs, linear.model(), data.test, EvaluationContext(data=data))
    for name in ("linear_probe_accuracy_n800", "knn_accuracy_k5_n800"):
        assert abs(values[name].value - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 800)
    assert abs(values["clustering_ari_k4_n800"].value) < 0.02
    assert values["clustering_accuracy_k4_n800"].value < 0.35


def test_nearest_neighbours_are_those_of_a_table_of_distances(linear):
    data = data_of(linear, TRIANGLE / 4, 1.0, train=60, test=50)
    model = linear.model()
    context = EvaluationContext(data=data)
    train, test = train_and_test(METRICS["knn"].config(), model, data.test, context)
    distances = {"euclidean": np.linalg.norm(test.codes[:, None] - train.codes[None], axis=2)}
    unit = [codes / np.linalg.norm(codes, axis=1, keepdims=True) for codes in (test.codes, train.codes)]
    distances["cosine"] = 1 - unit[0] @ unit[1].T
    found = {}
    for name, table in distances.items():
        votes = train.labels[np.argsort(table, 1)[:, :7]]
        expected = np.mean([np.bincount(vote).argmax() == y for vote, y in zip(votes, test.labels, strict=True)])
        [value] = measure([METRICS["knn"].config(neighbours=7, distance=name)], model, data.test, context).values()
        assert value.value == pytest.approx(expected, abs=1e-12)
        found[name] = value.value
    assert found["euclidean"] != found["cosine"]


def test_codes_are_the_means_of_the_posteriors(linear):
    data = data_of(linear, TRIANGLE, 1.0, train=20, test=10)
    _, test = train_and_test(METRICS["knn"].config(), linear.model(), data.test, EvaluationContext(data=data))
    _, mean, y = blobs(linear, 10, TRIANGLE, 1.0, 1)
    assert test.codes == pytest.approx(mean.double().numpy(), abs=1e-5)
    assert test.labels.tolist() == y.tolist()


def test_the_logistic_regression_is_at_its_optimum():
    """The gradient of the penalised likelihood, written out, is 0 there."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(80, 3)) * [1.0, 5.0, 0.2] + [0.0, 3.0, 1.0]
    labels = (codes[:, 0] + rng.normal(size=80) > 0).astype(int) + (codes[:, 1] > 5)
    for c in (0.1, 1.0):
        fitted = logistic_regression(codes, labels, c)
        machine: LogisticRegression = fitted[-1]
        z = (codes - codes.mean(0)) / codes.std(0)
        logits = z @ machine.coef_.T + machine.intercept_
        error = np.exp(logits - logsumexp(logits, axis=1, keepdims=True)) - np.eye(3)[labels]
        assert c * error.T @ z + machine.coef_ == pytest.approx(0, abs=2e-3)


def test_few_of_each_takes_the_number_of_each_and_none_twice():
    labels = np.array([0] * 5 + [3] * 9 + [7] * 4)
    rng = np.random.default_rng(0)
    draws = [few_of_each(labels, 4, rng) for _ in range(200)]
    for rows in draws:
        assert len(set(rows)) == 12
        assert (np.bincount(labels[rows])[[0, 3, 7]] == 4).all()
    counts = np.bincount(np.concatenate(draws), minlength=18)
    assert abs(counts[5:14] / 200 - 4 / 9).max() < 5 * math.sqrt(4 / 9 * 5 / 9 / 200)


def test_the_spread_is_that_of_the_draws(linear):
    """Accuracy with one label a class depends on the draw, its mean rises with labels, and its spread falls."""
    data = data_of(linear, TRIANGLE / 4, 1.0, train=600, test=300)
    config = METRICS["few_label_probe"].config(labels=(1, 100), draws=20)
    values = measure([config], linear.model(), data.test, EvaluationContext(data=data))
    one, many = (values[f"few_label_accuracy_l{n}_draws20"] for n in (1, 100))
    spread = [values[f"few_label_spread_l{n}_draws20"].value for n in (1, 100)]
    assert one.stderr == pytest.approx(spread[0] / math.sqrt(20))
    assert many.value > one.value + 5 * one.stderr
    assert spread[1] < spread[0] / 3


@pytest.mark.parametrize("clusters", [2, 3, 4])
def test_the_best_map_is_that_of_all_maps(clusters: int):
    rng = np.random.default_rng(clusters)
    labels, found = rng.integers(3, size=60), rng.integers(clusters, size=60)
    # maps of clusters to labels or, where there are too many of them, to a label that does not occur
    targets = itertools.permutations(range(max(3, clusters)), clusters)
    best = max((np.array(target)[found] == labels).mean() for target in targets)
    assert matched_accuracy(labels, found) == pytest.approx(best, abs=1e-12)


def test_clusters_have_the_scores_of_the_best_threshold(linear):
    """Two clusters of two well-separated pairs of four classes: the scores follow by counting."""
    centres = torch.tensor([[10.0, 0.5], [10.0, -0.5], [-10.0, 0.5], [-10.0, -0.5]])
    data = data_of(linear, centres, 0.1)
    values = measure([METRICS["clustering"].config(clusters=2)], linear.model(), data.test, EvaluationContext())
    y = np.arange(200) % 4
    assert values["clustering_accuracy_k2_n200"].value == pytest.approx(0.5)
    assert values["clustering_nmi_k2_n200"].value == pytest.approx(normalized_mutual_info_score(y, y // 2))
    assert values["clustering_nmi_k2_n200"].value == pytest.approx(2 * math.log(2) / (math.log(4) + math.log(2)))
    # pairs: 4 C(50,2) agree; the index of Hubert and Arabie by its definition
    together, same, both, pairs = 2 * 4950, 4 * 1225, 4 * 1225, 19900
    expected = together * same / pairs
    ari = (both - expected) / ((together + same) / 2 - expected)
    assert values["clustering_ari_k2_n200"].value == pytest.approx(ari)


def test_collapsed_codes_make_one_cluster(linear, splits_of):
    x = linear.bias.expand(12, -1).clone()
    split = splits_of(x, torch.arange(12) % 3, classes=3)
    values = measure([METRICS["clustering"].config()], linear.model(), split, EvaluationContext())
    assert values["clustering_ari_k3_n12"].value == 0
    assert values["clustering_accuracy_k3_n12"].value == pytest.approx(1 / 3)


def test_metrics_share_the_codes_and_alone_have_the_same_values(tiny_splits):
    """With bits that are drawn anew at each reading."""
    spec = DataSpec((1, 8, 8), "binary", 3)
    g = torch.Generator().manual_seed(0)
    parts = [
        MemorySplit(spec, torch.rand(90, 64, generator=g), torch.arange(90) % 3, 1.0, dynamic=True) for _ in range(2)
    ]
    data = DataSplits(parts[0], None, parts[1], {})
    model = bits_model(spec)
    configs = [METRICS["linear_probe"].config(train=50), METRICS["knn"].config(train=50)]
    together = measure(configs, model, data.test, EvaluationContext(data=data))
    alone = [measure([config], model, data.test, EvaluationContext(data=data)) for config in reversed(configs)]
    assert {**alone[0], **alone[1]} == together
    assert set(together) == {"linear_probe_accuracy_n50", "knn_accuracy_k5_n50"}


def bits_model(spec: DataSpec, **changes: Any) -> Any:
    config: dict[str, Any] = {
        "encoder": {"kind": "mlp", "hidden": [8]},
        "posterior": "diagonal_normal",
        "prior": {"kind": "standard_normal", "dim": 3},
        "decoder": {"kind": "mlp", "hidden": [8]},
        "likelihood": "bernoulli",
    }
    return build_model(ModelConfig.model_validate(config | changes), spec)


def test_groups_choose_the_code(tiny_splits):
    data = tiny_splits()
    prior = {"kind": "top_down", "top": {"kind": "standard_normal", "dim": 2}, "groups": [3], "width": 8}
    model = bits_model(data.test.spec, prior=prior)
    context = EvaluationContext(data=data)
    for groups, width in ((None, 5), ((0,), 2), ((1,), 3)):
        train, test = train_and_test(METRICS["knn"].config(groups=groups), model, data.test, context)
        assert (train.codes.shape, test.codes.shape) == ((48, width), (24, width))
    with pytest.raises(ConfigError, match="no latent group 2"):
        measure([METRICS["clustering"].config(groups=(2,))], model, data.test, context)


def test_nothing_where_there_are_no_labels(tiny_splits):
    data = tiny_splits(classes=None)
    configs = [METRICS[kind].config.example() for kind in ALL]
    assert measure(configs, bits_model(data.test.spec), data.test, EvaluationContext()) == {}


@pytest.mark.parametrize("kind", PROBES)
def test_probes_ask_for_training_data(kind: str, tiny_splits):
    data = tiny_splits()
    with pytest.raises(DataError, match=f"metric '{kind}' learns from training data.*Pass `data`"):
        measure([METRICS[kind].config()], bits_model(data.test.spec), data.test, EvaluationContext())


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("linear_probe", {"train": 1}, "the 1 training data used have one label only.*Raise 'train'"),
        ("knn", {"neighbours": 49}, "'knn' needs 49 training data that vote, and there are 48. Lower 'neighbours'"),
        (
            "few_label_probe",
            {"labels": (40,)},
            r"draws 40 training data of each class, and class \d has \d+ among the 48",
        ),
        ("clustering", {"clusters": 30}, "'clustering' cannot make 30 clusters of 24 data. Lower 'clusters'"),
        ("clustering", {"limit": 1}, "the first 1 data have one label only. Raise 'limit'"),
    ],
)
def test_refusals(kind: str, arguments: dict[str, Any], message: str, tiny_splits):
    data = tiny_splits()
    with pytest.raises(DataError, match=message):
        measure(
            [METRICS[kind].config(**arguments)], bits_model(data.test.spec), data.test, EvaluationContext(data=data)
        )


def test_codes_that_are_no_numbers_are_refused(tiny_splits):
    data = tiny_splits()
    model = bits_model(data.test.spec)
    with torch.no_grad():
        next(model.posterior.parameters()).fill_(math.nan)
    with pytest.raises(DataError, match=r"metric 'clustering': some of the codes are NaN.*learning rate"):
        measure([METRICS["clustering"].config()], model, data.test, EvaluationContext())
