"""What holds for each registered component, of whatever family: its config, its words, its JSON."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from vaelab.registry import FAMILIES, ComponentConfig, Entry, Registry

ENTRIES = [
    pytest.param(registry, entry, id=f"{family}-{entry.kind}")
    for family, registry in FAMILIES.items()
    for entry in registry
]


def slot(registry: Registry) -> TypeAdapter[ComponentConfig]:
    return TypeAdapter(Annotated[ComponentConfig, registry])


def test_every_built_in_family_of_a_model_has_components():
    for family in ("encoder", "posterior", "prior", "decoder", "likelihood", "divergence", "objective"):
        assert len(FAMILIES[family]) > 0, family


@pytest.mark.parametrize(("registry", "entry"), ENTRIES)
def test_example_is_valid_and_survives_json(registry: Registry, entry: Entry):
    example = entry.config.example()
    assert type(example) is entry.config
    assert example.kind == entry.kind
    text = slot(registry).dump_json(example)
    assert json.loads(text)["kind"] == entry.kind
    again = slot(registry).validate_json(text)
    assert again == example
    assert slot(registry).dump_json(again) == text


@pytest.mark.parametrize(("registry", "entry"), ENTRIES)
def test_config_is_frozen_and_refuses_unknown_keys(registry: Registry, entry: Entry):
    example = entry.config.example()
    with pytest.raises(ValidationError, match="frozen"):
        example.kind = "another"
    content = json.loads(slot(registry).dump_json(example))
    with pytest.raises(ValidationError, match=r"[Ee]xtra"):
        slot(registry).validate_python({**content, "no_such_argument": 1})


@pytest.mark.parametrize(("registry", "entry"), ENTRIES)
def test_has_words(registry: Registry, entry: Entry):
    own = entry.component.__dict__.get("__doc__") if isinstance(entry.component, type) else entry.component.__doc__
    assert own, "the component's own docstring is its page in the docs and its line in `vaelab list`"
    assert entry.summary.rstrip("$)").endswith("."), f"the summary is a sentence: {entry.summary}"
    assert entry.config.__doc__
    for name, field in entry.config.model_fields.items():
        if name != "kind":
            assert field.description, f"the argument '{name}' needs a docstring below it"
            assert field.description.rstrip().endswith((".", ")")), f"'{name}': {field.description}"


@pytest.mark.parametrize(("registry", "entry"), ENTRIES)
def test_schema_of_config_describes_its_example(registry: Registry, entry: Entry):
    import jsonschema

    from vaelab.config import experiment_schema

    schema = _schema(experiment_schema)
    here = {**schema, "$ref": f"#/$defs/{registry.family}"}
    for key in ("type", "properties", "required", "additionalProperties", "title", "description"):
        here.pop(key, None)
    validator = jsonschema.Draft202012Validator(here)
    content = json.loads(slot(registry).dump_json(entry.config.example()))
    validator.validate(content)
    assert not validator.is_valid({**content, "no_such_argument": 1})
    assert not validator.is_valid({**content, "kind": "no_such_kind"})


_cache: dict[str, dict] = {}


def _schema(make) -> dict:
    # made once: it walks over every registered component
    if "schema" not in _cache:
        _cache["schema"] = make()
    return _cache["schema"]
