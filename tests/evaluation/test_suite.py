from __future__ import annotations

import io
import json
import math
from typing import Literal

import pytest
import torch
from rich.console import Console

from vaelab.build import build_model
from vaelab.config import EvaluationConfig, ModelConfig
from vaelab.errors import ConfigError, DataError, VaelabError
from vaelab.evaluation import Evaluation, EvaluationProgress, draw, evaluate
from vaelab.evaluation.tables import table, written
from vaelab.figures import Figure
from vaelab.metrics import Value
from vaelab.registry import FIGURES, ComponentConfig
from vaelab.types import DataSpec, DataSplits

MODEL = {"encoder": {"kind": "mlp", "hidden": [8]}, "posterior": "diagonal_normal", "likelihood": "bernoulli"}
MODEL |= {"prior": {"kind": "standard_normal", "dim": 3}, "decoder": {"kind": "mlp", "hidden": [8]}}
CONFIG = {"metrics": ["negative_elbo", {"kind": "importance_nll", "samples": 3}], "batch_size": 10, "seed": 4}


@pytest.fixture
def model():
    return build_model(ModelConfig.model_validate(MODEL), DataSpec((1, 8, 8), "binary", 3))


def test_an_evaluation_survives_json(model, tiny_splits):
    evaluation = evaluate(model, tiny_splits(), EvaluationConfig.model_validate(CONFIG))
    content = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert Evaluation.from_json(content) == evaluation
    assert content["values"]["nll_is3"].keys() == {"value", "stderr", "unit", "better"}
    assert (content["split"], content["number"], content["seed"], content["batch_size"]) == ("test", 24, 4, 10)
    assert content["data"] == {"source": "made up"}
    # the resolved configs, defaults and all, so that the numbers can be had again
    again = EvaluationConfig.model_validate({**CONFIG, "metrics": content["metrics"]})
    assert evaluate(model, tiny_splits(), again).values == evaluation.values


def test_what_is_not_finite_is_null_in_json():
    evaluation = Evaluation({"x": Value(math.inf, math.nan)}, "test", 1, 0, 1, {}, ())
    content = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert content["values"]["x"]["value"] is None
    assert math.isnan(Evaluation.from_json(content).values["x"].value)


def test_the_split_is_the_one_asked_for(model, tiny_splits):
    data, config = tiny_splits(), EvaluationConfig.model_validate(CONFIG)
    numbers = {split: evaluate(model, data, config, split=split) for split in ("train", "validation", "test")}
    assert [evaluation.number for evaluation in numbers.values()] == [48, 24, 24]
    assert len({evaluation.values["distortion"].value for evaluation in numbers.values()}) == 3
    with pytest.raises(DataError, match="no validation split"):
        evaluate(model, DataSplits(data.train, None, data.test, {}), config, split="validation")
    with pytest.raises(ConfigError, match="no split 'tset'"):
        evaluate(model, data, config, split="tset")


def test_figures_are_files_and_repeatable(model, tiny_splits, tmp_path):
    names = ["samples", {"kind": "samples", "number": 3}, "reconstructions"]
    config = EvaluationConfig.model_validate({"figures": names, "seed": 3})
    state = torch.get_rng_state()
    files = draw(model.train(), tiny_splits(), config, [], tmp_path / "new" / "figures", "run")
    assert [path.name for path in files] == ["samples.png", "samples_2.png", "reconstructions.png"]
    assert sorted(path.name for path in files[0].parent.iterdir()) == sorted(path.name for path in files)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    again = draw(model, tiny_splits(), config, [], tmp_path / "again", "run")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]


def test_a_figure_that_fails_is_named_and_the_others_are_kept(model, tiny_splits, tmp_path):
    class BrokenConfig(ComponentConfig):
        kind: Literal["broken"] = "broken"

    @FIGURES.register(BrokenConfig)
    class Broken(Figure[BrokenConfig]):
        """Fails."""

        def draw(self, model, context):
            raise ZeroDivisionError("no such thing")

    try:
        config = EvaluationConfig.model_validate({"figures": ["broken", {"kind": "samples", "number": 2}]})
        with pytest.raises(VaelabError, match=r"1 of 2 figures .*'broken' \(ZeroDivisionError: no such thing\)"):
            draw(model, tiny_splits(), config, [], tmp_path, "run")
    finally:
        FIGURES.unregister("broken")
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]


def shown(evaluation) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table(evaluation))
    return console.export_text()


def test_the_table_of_an_evaluation_and_of_its_json():
    values = {
        "nll_is3": Value(98.4167, 0.2513, better="lower"),
        "active_units_0.01": Value(20.0, None, "units", "higher"),
    }
    evaluation = Evaluation(values, "test", 10_000, 0, 500, {"source": "a [bold] name"}, ())
    text = shown(evaluation)
    assert shown(evaluation.to_json()) == text
    assert "test split, 10,000 data, a [bold] name" in text
    (line,) = [line for line in text.splitlines() if "nll_is3" in line]
    assert [cell.strip() for cell in line.strip("│").split("│")] == ["nll_is3", "98.42 ± 0.25", "nats", "↓"]


def test_many_groups_are_left_to_the_file():
    values = {f"rate/group_{i}": Value(0.5) for i in range(28)} | {"rate": Value(14.5)}
    text = shown(Evaluation(values, "test", 1, 0, 1, {}, ()))
    assert "rate/group" not in text
    assert "14.5" in text
    assert "are not shown" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Value(1234.5678, 12.34), "1235 ± 12"),
        (Value(0.0226543, 0.000456), "0.02265 ± 0.00046"),
        (Value(16.000000000000036, 1e-14), "16"),
        (Value(0.79763), "0.7976"),
        (Value(123456.0), "123456"),
        (Value(math.nan), "nan"),
    ],
)
def test_numbers_have_the_digits_that_they_deserve(value, text):
    assert written(value) == text


def test_each_pass_tells_how_many_data_are_done(model, tiny_splits):
    told = []
    evaluate(model, tiny_splits(), EvaluationConfig.model_validate(CONFIG), told=lambda *what: told.append(what))
    assert told == [(metric, done, 24) for metric in ("negative_elbo", "importance_nll") for done in (10, 20, 24)]


def test_a_long_metric_shows_its_time_left(monkeypatch):
    clock = iter((0.0, 1.0, 2.0, 62.0, 63.0, 122.0, 182.0))  # made, then one at each call
    monkeypatch.setattr("vaelab.evaluation.progress.time.perf_counter", lambda: next(clock))
    text = io.StringIO()
    progress = EvaluationProgress(Console(file=text, width=200), every=20)
    for metric, done in (("fast", 50), ("fast", 100), ("slow", 30), ("slow", 31), ("slow", 60), ("slow", 100)):
        progress(metric, done, 100)
    # of 30 data in a minute 70 are left; the second line comes after 120 s for 60 of them, and none when all are done
    assert text.getvalue().splitlines() == [
        "  slow  30 of 100 data  140 s left",
        "  slow  60 of 100 data  80 s left",
    ]
