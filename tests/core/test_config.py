"""Experiments: JSON in, JSON out, overrides, and what is said about mistakes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import vaelab
from core.experiments import content
from vaelab.config import (
    Experiment,
    apply_overrides,
    experiment_schema,
    load_experiment,
    parse_experiment,
)
from vaelab.errors import BuildError, ConfigError, RegistrationError
from vaelab.registry import FAMILIES

SHIPPED = sorted((Path(vaelab.__file__).parents[1] / "experiments").rglob("*.json"))


def refusal(changed: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_experiment(changed, "my.json")
    return str(caught.value)


def with_model(**axes: Any) -> dict[str, Any]:
    base = content()
    return {**base, "model": {**base["model"], **axes}}


def test_round_trip_of_a_whole_experiment():
    experiment = parse_experiment(content())
    text = experiment.to_json()
    again = parse_experiment(json.loads(text))
    assert again == experiment
    assert again.to_json() == text
    written = json.loads(text)
    assert written["training"]["batch_size"] == 8
    assert written["training"]["optimiser"]["kind"] == "adam", "defaults are written out, of slots too"
    assert written["training"]["optimiser"]["lr"] == {"kind": "constant", "value": 1e-3}
    assert written["model"]["encoder"] == {"kind": "mlp", "hidden": [12], "activation": "tanh"}


def test_schema_key_is_allowed_and_dropped():
    experiment = parse_experiment({"$schema": "https://example.org/schema.json", **content()})
    assert "schema" not in experiment.to_json()
    assert parse_experiment(json.loads(experiment.to_json())).to_json() == experiment.to_json()


def test_defaults_suffice():
    """The defaults name components that exist."""
    base = content()
    del base["objective"], base["name"]
    experiment = parse_experiment({**base, "training": {"epochs": 1}})
    assert experiment.objective.kind == "elbo"
    assert experiment.evaluation.metrics
    assert experiment.evaluation.figures


def test_an_experiment_is_frozen():
    experiment = parse_experiment(content())
    with pytest.raises(ValueError, match="frozen"):
        experiment.seed = 3


@pytest.mark.parametrize(
    ("changed", "path", "words"),
    [
        (with_model(prior={"kind": "standard_normal", "dim": -1}), "$.model.prior.dim", "greater than 0"),
        (with_model(prior={"kind": "standard_norml"}), "$.model.prior", "Did you mean 'standard_normal'?"),
        (with_model(prior={"dim": 3}), "$.model.prior", "'kind' is missing"),
        (with_model(prior=3), "$.model.prior", "must be an object"),
        (
            with_model(prior={"kind": "top_down", "top": {"kind": "mixture", "components": 1}}),
            "$.model.prior.top.components",
            "greater than or equal to 2",
        ),
        (
            content(objective={"kind": "elbo", "divergences": ["kl", {"kind": "kl", "weight": {"kind": "linear", "end": "x"}}]}),
            "$.objective.divergences[1].weight.end",
            "valid number",
        ),
        (content(training={"steps": 0}), "$.training.steps", "(got 0)"),
        (content(training={"steps": 1, "epochs": 1}), "$.training", "exactly one of 'epochs' and 'steps'"),
        (content(training={}), "$.training", "exactly one of 'epochs' and 'steps'"),
        (content(name="../x"), "$.name", "pattern"),
        (content(name="a..b"), "$.name", "must not contain '..'"),
        (content(seed=-1), "$.seed", "greater than or equal to 0"),
        (content(device="gpu"), "$.device", "pattern"),
        (content(seed=float("nan")), "$.seed", ""),
        (content(training={"steps": 1, "gradient_clip": float("inf")}), "$.training.gradient_clip", "finite"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_json_path(changed: dict[str, Any], path: str, words: str):
    message = refusal(changed)
    assert f"my.json: {path}: " in message
    assert words in message


def test_missing_section_is_required():
    base = content()
    del base["model"]
    assert refusal(base) == "my.json: $.model: is required and missing"


def test_all_mistakes_are_told_at_once():
    message = refusal({**with_model(prior={"kind": "nope"}), "seed": -1, "surprise": 1})
    assert {line.split(": ")[1] for line in message.splitlines()} == {"$.model.prior", "$.seed", "$.surprise"}


@pytest.mark.parametrize(
    ("changed", "path", "nearest"),
    [
        (content(sed=3), "$.sed", "seed"),
        (content(training={"steps": 2, "epoch": 3}), "$.training.epoch", "epochs"),
        ({**content(), "evaluation": {"metric": []}}, "$.evaluation.metric", "metrics"),
        (with_model(encodr="mlp"), "$.model.encodr", "encoder"),
        (content(training={"steps": 2, "early_stopping": {"patienc": 3}}), "$.training.early_stopping.patienc", "patience"),
        (with_model(prior={"kind": "standard_normal", "dimm": 3}), "$.model.prior.dimm", "dim"),
        (
            content(objective={"kind": "elbo", "divergences": [{"kind": "kl", "wieght": 3}]}),
            "$.objective.divergences[0].wieght",
            "weight",
        ),
    ],
)  # fmt: skip
def test_unknown_keys_suggest_the_nearest(changed: dict[str, Any], path: str, nearest: str):
    message = refusal(changed)
    assert f"{path}: unknown key." in message
    assert f"Did you mean '{nearest}'?" in message


def test_unknown_key_without_a_near_one_lists_the_known():
    assert "Known keys: epochs, steps," in refusal(content(training={"steps": 1, "xyzzy": 1}))


@pytest.mark.parametrize("kind", ["{x}", "%s", "{", "%(a)s"])
def test_odd_text_does_not_break_a_message(kind: str):
    assert f"unknown prior kind '{kind}'" in refusal(with_model(prior=kind))
    assert f"$.{kind}: unknown key" in refusal(content(**{kind: 1}))


def test_errors_carry_exit_codes():
    for error in (ConfigError, BuildError, RegistrationError):
        assert error.exit_code == 2


# -- files -------------------------------------------------------------------------------------------------------


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "my.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_load_reads_and_overrides(tmp_path: Path):
    path = written(tmp_path, json.dumps(content()))
    experiment = load_experiment(path, ["training.steps=7", "name=other"])
    assert (experiment.training.steps, experiment.name) == (7, "other")
    assert load_experiment(str(path)).training.steps == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"seed": 1, "seed": 2}', "'seed' stands twice"),
        ('{"model": {"prior": {"kind": "a", "kind": "b"}}}', "'kind' stands twice"),
        ('{"seed": NaN}', "NaN is no JSON number"),
        ('{"seed": Infinity}', "Infinity is no JSON number"),
        ('{"seed": -Infinity}', "-Infinity is no JSON number"),
        ('{"seed": 1,\n}', "line 2"),
        ("", "not JSON"),
        ("// a comment", "not JSON"),
        ("[1, 2]", "an experiment is a JSON object, not list"),
        ('"text"', "not str"),
        ("null", "not NoneType"),
        (b"\xff\xfe{", "not UTF-8"),
        ('{"a": ' * 100_000, ""),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str | bytes, words: str):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_experiment(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


def test_unreadable_files_are_named(tmp_path: Path):
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(ConfigError, match=re.escape(f"{path}: cannot be read (")):
            load_experiment(path)


def test_byte_order_mark_is_named(tmp_path: Path):
    """Editors on Windows write one."""
    path = written(tmp_path, b"\xef\xbb\xbf" + json.dumps(content()).encode())
    with pytest.raises(ConfigError, match="BOM") as caught:
        load_experiment(path)
    assert str(path) in str(caught.value)


# -- overrides ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("training.steps=7", ("training", "steps"), 7),
        ("training.epochs=null", ("training", "epochs"), None),
        ("name=trial_2", ("name",), "trial_2"),
        ('name="7"', ("name",), "7"),
        ("name=", ("name",), ""),
        ("description=a=b", ("description",), "a=b"),
        ("objective.divergences.0.weight=4", ("objective", "divergences", 0, "weight"), 4),
        ('objective.divergences.0={"kind": "kl"}', ("objective", "divergences", 0), {"kind": "kl"}),
        ("model.encoder.hidden=[3, 4]", ("model", "encoder", "hidden"), [3, 4]),
        ("training.optimiser.lr=0.1", ("training", "optimiser", "lr"), 0.1),
        ("evaluation.batch_size=5", ("evaluation", "batch_size"), 5),
        ("training.compile=true", ("training", "compile"), True),
        ("training.compile=True", ("training", "compile"), "True"),
        ("name=NaN", ("name",), "NaN"),
        (" training.steps =7", ("training", "steps"), 7),
    ],
)
def test_override_sets_a_value(override: str, path: tuple[str | int, ...], value: Any):
    base = content()
    before = json.dumps(base)
    result: Any = apply_overrides(base, [override])
    for key in path:
        result = result[key]
    assert result == value
    assert type(result) is type(value)
    assert json.dumps(base) == before, "the original is left alone"


def test_override_of_a_bare_name_keeps_the_name():
    result = apply_overrides(with_model(prior="standard_normal"), ["model.prior.dim=3"])
    assert result["model"]["prior"] == {"kind": "standard_normal", "dim": 3}
    result = apply_overrides(
        content(objective={"kind": "elbo", "divergences": ["kl"]}), ["objective.divergences.0.weight=4"]
    )
    assert result["objective"]["divergences"] == [{"kind": "kl", "weight": 4}]


def test_later_overrides_win():
    assert apply_overrides(content(), ["seed=1", "seed=2"])["seed"] == 2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.steps", "write a path, '=' and a value"),
        ("=3", "write a path"),
        ("training..steps=3", "write a path"),
        ("", "write a path"),
        ("objective.divergences.5.weight=3", "objective.divergences is a list of 1, and has no '5'"),
        ("objective.divergences.-1.weight=3", "has no '-1'"),
        ("objective.divergences.kl=3", "has no 'kl'"),
        ("training.steps.more=3", "training.steps is no object but 2, and has no 'more'"),
    ],
)
def test_bad_overrides_are_named(override: str, words: str):
    with pytest.raises(ConfigError) as caught:
        apply_overrides(content(), [override])
    assert str(caught.value).startswith(f"--set {override}: ")
    assert words in str(caught.value)


def test_override_with_a_misspelt_path_is_refused_by_validation():
    with pytest.raises(ConfigError, match=r"\$\.trainin"):
        parse_experiment(apply_overrides(content(), ["trainin.steps=3"]))


# -- JSON schema -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = experiment_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    json.dumps(schema)
    return jsonschema.Draft202012Validator(schema)


def test_schema_names_its_dialect_and_resolves_every_slot(validator: jsonschema.Draft202012Validator):
    text = json.dumps(validator.schema)
    assert validator.schema["$schema"].endswith("2020-12/schema")
    assert "x-vaelab-family" not in text
    for reference in set(re.findall(r'"#/\$defs/([^"]+)"', text)):
        assert reference in validator.schema["$defs"], reference
    for family, registry in FAMILIES.items():
        for entry in registry:
            assert f"{family}.{entry.kind}" in validator.schema["$defs"]


def test_schema_accepts_what_the_parser_accepts(validator: jsonschema.Draft202012Validator):
    validator.validate(content())
    validator.validate(json.loads(parse_experiment(content()).to_json()))
    validator.validate(with_model(prior="standard_normal"))
    validator.validate({"$schema": "x", **content()})
    warm = {"kind": "linear", "steps": 10}
    validator.validate(content(objective={"kind": "elbo", "divergences": ["kl", {"kind": "kl", "weight": warm}]}))


@pytest.mark.parametrize(
    "changed",
    [
        with_model(prior={"kind": "nope"}),
        with_model(prior="nope"),
        with_model(prior={"dim": 3}),
        with_model(prior={"kind": "standard_normal", "dim": -1}),
        with_model(prior={"kind": "standard_normal", "dimm": 1}),
        with_model(prior={"kind": "top_down", "top": {"kind": "nope"}}),
        with_model(encoder={"kind": "standard_normal"}),
        content(surprise=1),
        content(seed=-1),
        content(objective={"kind": "elbo", "divergences": [{"kind": "kl", "weight": "heavy"}]}),
        {key: value for key, value in content().items() if key != "model"},
    ],
)
def test_schema_refuses_what_the_parser_refuses(validator: jsonschema.Draft202012Validator, changed: dict[str, Any]):
    refusal(changed)
    assert not validator.is_valid(changed)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_experiments(validator: jsonschema.Draft202012Validator, path: Path):
    validator.validate(json.loads(path.read_text()))
    experiment = load_experiment(path)
    assert experiment.description, "say what it is for"
    resolved = json.loads(experiment.to_json())
    validator.validate(resolved)
    assert Experiment.model_validate(resolved) == experiment.model_copy(update={"schema_url": None})
