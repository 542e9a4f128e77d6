"""Metrics of generation on models and data: what is compared with what, and under which name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from vaelab.build import build_model
from vaelab.config import EvaluationConfig, ModelConfig
from vaelab.datasets import MemorySplit
from vaelab.errors import ConfigError, DataError
from vaelab.evaluation import Evaluation, evaluate
from vaelab.extractors import Extracted, Extractor
from vaelab.inference import Generation
from vaelab.metrics import EvaluationContext, Value, measure
from vaelab.metrics.fid import FidConfig
from vaelab.metrics.kid import KidConfig
from vaelab.metrics.label_entropy import LabelEntropyConfig
from vaelab.metrics.precision_recall import PrecisionRecallConfig
from vaelab.model import VAE
from vaelab.registry import EXTRACTORS, METRICS, SAMPLERS, ComponentConfig
from vaelab.samplers import Sampler
from vaelab.types import DataSpec, DataSplits

ALL = ("fid", "kid", "precision_recall", "label_entropy")


def made(spec: DataSpec, **changes: Any) -> VAE:
    config: dict[str, Any] = {
        "encoder": {"kind": "mlp", "hidden": [8]},
        "posterior": "diagonal_normal",
        "prior": {"kind": "standard_normal", "dim": 3},
        "decoder": {"kind": "mlp", "hidden": [8]},
        "likelihood": "bernoulli" if spec.values == "binary" else {"kind": "normal", "sigma": "fixed"},
    }
    return build_model(ModelConfig.model_validate(config | changes), spec)


class CopiesConfig(ComponentConfig):
    """Of the sampler of copies."""

    kind: Literal["test_copies"] = "test_copies"


class Copies(Sampler[CopiesConfig]):
    """Returns the test data in their order, and remembers the conditions it was given."""

    conditions: list[Tensor | None]

    def fit(self, model: VAE, data: Callable[[], DataSplits]) -> None:
        self.split, self.done = data().test, 0
        Copies.conditions = []

    def sample(self, number: int, temperature: float = 1.0, condition: Tensor | None = None) -> Generation:
        x = self.split.fetch(torch.arange(self.done, self.done + number)).x
        self.done += number
        Copies.conditions.append(condition)
        likelihood: Any = SimpleNamespace(mean=x[None], sample=lambda: 1 - x[None])
        return Generation((), likelihood)


class CountingConfig(ComponentConfig):
    """Of the extractor that counts."""

    kind: Literal["test_counting"] = "test_counting"


class Counting(Extractor[CountingConfig]):
    """Pixels; counts the pictures it sees."""

    seen = 0
    checksum = "0123456789abcdef"

    def forward(self, pictures: Tensor) -> Extracted:
        Counting.seen += len(pictures)
        return Extracted(pictures.flatten(1))


@pytest.fixture
def counting() -> Iterator[type[Counting]]:
    Counting.seen = 0
    EXTRACTORS.register(CountingConfig)(Counting)
    yield Counting
    EXTRACTORS.unregister("test_counting")


@pytest.fixture
def copies() -> Iterator[type[Copies]]:
    SAMPLERS.register(CopiesConfig)(Copies)
    yield Copies
    SAMPLERS.unregister("test_copies")


def test_copies_of_the_data_are_perfect(copies, tiny_splits):
    data = tiny_splits((1, 8, 8), "unit", 80)
    given: dict[str, Any] = {"sampler": "test_copies"}
    configs = [METRICS[kind].config(**given) for kind in ALL]
    context = EvaluationContext(batch_size=7, data=data)
    values = measure(configs, made(data.test.spec), data.test, context)
    end = "n40_test_copies"
    assert values[f"fid_digits_{end}"].value == pytest.approx(0, abs=1e-8)
    assert values[f"kid_digits_{end}"].value < 0, "unbiased: pairs of equal pictures count on one side only"
    assert values[f"kid_digits_{end}"].stderr is None
    for name in ("precision", "recall", "density", "coverage"):
        assert values[f"{name}_digits_k3_{end}"].value == pytest.approx(1, abs=1e-12)
    assert values["label_entropy_digits_test_copies"].unit == "nats"
    assert 1 <= values["modes_digits_test_copies"].value <= 10
    assert {value.extractor for value in values.values()} == {"digits:4be162cc"}


def test_names_say_what_is_not_the_default(tiny_splits):
    data = tiny_splits((1, 8, 8), "unit", 60)
    configs = [
        FidConfig(number=12),
        FidConfig(number=13),
        FidConfig.model_validate({"extractor": "pixels", "temperature": 0.5, "pictures": "draw"}),
        KidConfig(number=20, subset=5),
        PrecisionRecallConfig(number=20, neighbours=5),
        LabelEntropyConfig(pictures="mean"),
    ]
    values = measure(configs, made(data.test.spec), data.test, EvaluationContext())
    expected = ["fid_digits_n12", "fid_digits_n13", "fid_pixels_n30_t0.5_draw", "kid_digits_n20"]
    expected += [f"{name}_digits_k5_n20" for name in ("precision", "recall", "density", "coverage")]
    assert list(values) == [*expected, "label_entropy_digits_mean", "modes_digits_mean"]
    assert values["kid_digits_n20"].stderr is not None
    assert values["fid_pixels_n30_t0.5_draw"].extractor == "pixels"


def test_pictures_are_draws_where_the_data_are_bits(copies, tiny_splits):
    """The sampler's mean is the data, and its draws are the negative."""
    for values, like_the_mean in (("binary", False), ("unit", True)):
        data = tiny_splits((1, 8, 8), values, 80)
        context = EvaluationContext(data=data)
        config: dict[str, Any] = {"extractor": "pixels", "sampler": "test_copies"}
        for pictures in (None, "mean", "draw"):
            configs = [FidConfig.model_validate(config | {"pictures": pictures})]
            [found] = measure(configs, made(data.test.spec), data.test, context).values()
            is_mean = like_the_mean if pictures is None else pictures == "mean"
            assert (found.value < 1e-8) == is_mean


def test_conditional_models_get_the_conditions_of_the_data(copies):
    spec = DataSpec((1, 8, 8), "unit", 3, condition_shape=(3,))
    y = torch.tensor([0, 0, 0, 2, 1, 0, 0])
    data = DataSplits(*[MemorySplit(spec, torch.rand(7, 64), y) for _ in range(3)], {})
    model = made(spec, prior={"kind": "conditional", "dim": 3})
    config = FidConfig.model_validate({"sampler": "test_copies"})
    measure([config], model, data.test, EvaluationContext(batch_size=4, data=data))
    given = torch.cat([condition for condition in copies.conditions if condition is not None])
    assert given.argmax(1).tolist() == y.tolist()


def test_metrics_share_the_pictures_and_two_evaluations_do_not(counting, tiny_splits):
    data = tiny_splits((1, 8, 8), "unit", 60)
    given: dict[str, Any] = {"number": 20, "extractor": "test_counting"}
    configs = [METRICS[kind].config(**given, **({"subset": 5} if kind == "kid" else {})) for kind in ALL[:3]]
    context = EvaluationContext()
    torch.manual_seed(1)
    first = measure(configs, made(data.test.spec), data.test, context)
    assert counting.seen == 40
    assert first["fid_test_counting_n20"].extractor == "test_counting:01234567"
    torch.manual_seed(2)
    second = measure(configs, made(data.test.spec), data.test, context)
    assert counting.seen == 80
    assert second["fid_test_counting_n20"] != first["fid_test_counting_n20"]
    # alone each metric has the same value as after another
    assert measure(configs[1:2], made(data.test.spec), data.test, context).keys() == {"kid_test_counting_n20"}
    torch.manual_seed(2)
    model = made(data.test.spec)
    alone = [measure([config], model, data.test, context) for config in configs]
    assert {name: value for found in alone for name, value in found.items()} == second


def test_nothing_where_the_data_are_no_images(tiny_splits):
    configs = [METRICS[kind].config.example() for kind in ALL]
    data = tiny_splits((6,), "unit")
    assert measure(configs, made(data.test.spec), data.test, EvaluationContext()) == {}


@pytest.mark.parametrize(
    ("shape", "values", "config", "error", "message"),
    [
        ((3, 8, 8), "unit", FidConfig(), DataError, "extractor 'digits'.*3 channels.*'inception'"),
        ((1, 8, 8), "real", FidConfig(), DataError, "extractor 'digits'.*any real ones.*'pixels'"),
        ((1, 8, 8), "unit", FidConfig(number=1), DataError, "metric 'fid' needs 2 pictures, and there are 1"),
        ((1, 8, 8), "unit", PrecisionRecallConfig(number=3), DataError, "'precision_recall' needs 4 pictures"),
        (
            (1, 8, 8),
            "unit",
            LabelEntropyConfig.model_validate({"extractor": "pixels"}),
            ConfigError,
            "'label_entropy' needs a classifier.*Use the extractor 'digits'",
        ),
        (
            (1, 8, 8),
            "unit",
            FidConfig.model_validate({"sampler": "gmm"}),
            DataError,
            "metric 'fid': sampler 'gmm' is fitted.*Pass `data`",
        ),
    ],
)
def test_refusals(shape, values, config, error, message, tiny_splits):
    data = tiny_splits(shape, values)
    with pytest.raises(error, match=message):
        measure([config], made(data.test.spec), data.test, EvaluationContext())


def test_a_fitted_sampler_in_an_evaluation_and_its_json(tiny_splits):
    data = tiny_splits((1, 8, 8), "binary", 60)
    metrics = [
        {"kind": "fid", "number": 20, "sampler": {"kind": "gmm", "components": 2}},
        "reconstruction",
    ]
    config = EvaluationConfig.model_validate({"metrics": metrics, "figures": []})
    found = evaluate(made(data.test.spec), data, config)
    content = found.to_json()
    assert content["values"]["fid_digits_n20_gmm"]["extractor"] == "digits:4be162cc"
    assert "extractor" not in content["values"]["reconstruction_mse"]
    assert Evaluation.from_json(content) == found
    assert isinstance(found.values["fid_digits_n20_gmm"], Value)
