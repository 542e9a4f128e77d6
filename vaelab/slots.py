"""Models with slots: what is wrong with a JSON in words, and which JSON would be right as a schema."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from vaelab.registry import FAMILIES, FAMILY_MARK, Registry
from vaelab.section import LARGEST, Location
from vaelab.wording import brief

#: Mistakes that are told at once.
_MISTAKES = 12


def describe(error: ValidationError, source: str, content: Any, root: type[BaseModel]) -> str:
    """All mistakes of a validation, a line each, with JSON paths.

    Args:
        error: of the validation.
        source: name of the file.
        content: what was validated.
        root: the model that validated it.
    """
    lines = []
    for item in error.errors(include_url=False):
        location = _in_content(item["loc"], content)
        path = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "unknown key. " + _nearest_field(location, content, root)
        elif item["type"] == "missing":
            message = "is required and missing"
        elif item["type"] == "int_parsing_size":
            message = f"Input should be a whole number between -{LARGEST} and {LARGEST}"
        elif "input" in item and isinstance(item["input"], int | float | str | bool | None):
            message += f" (got {brief(json.dumps(item['input']), 100)})"
        lines.append(f"{source}: {path}: {message}")
    if len(lines) > _MISTAKES:
        lines[_MISTAKES:] = [f"{source}: $: there are {len(lines) - _MISTAKES} more mistakes. Correct these first."]
    return "\n".join(lines)


def _in_content(location: Location, content: Any) -> Location:
    """A location without what pydantic adds for itself, the names of a union's branches."""
    kept: list[int | str] = []
    node = content
    for position, part in enumerate(location):
        if isinstance(node, Mapping) and (part in node or position == len(location) - 1):
            kept.append(part)
            node = node.get(part)
        elif isinstance(node, list | tuple) and isinstance(part, int):
            kept.append(part)
            node = node[part] if part < len(node) else None
    return tuple(kept)


def _nearest_field(location: Location, content: Any, root: type[BaseModel]) -> str:
    fields = _fields_at(location[:-1], content, root)
    near = difflib.get_close_matches(str(location[-1]), fields, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    return f"{hint}Known keys: {', '.join(fields)}." if fields else "Remove it."


def _fields_at(location: Location, content: Any, root: type[BaseModel]) -> list[str]:
    """The keys that the object at a location may have."""
    section: type[BaseModel] | None = root
    node, field = content, None
    for part in location:
        node = node[part]
        if isinstance(part, str):
            field = section.model_fields.get(part) if section else None
        section = _section_of(field, node) if field else None
    return [field.alias or name for name, field in section.model_fields.items()] if section else []


def _section_of(field: FieldInfo, node: Any) -> type[BaseModel] | None:
    family = slot_family(field)
    if family is not None:
        registry = FAMILIES[family.removeprefix("list of ")]
        kind = node.get("kind") if isinstance(node, Mapping) else None
        return registry[kind].config if isinstance(kind, str) and kind in registry else None
    for annotation in (field.annotation, *get_args(field.annotation)):
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
    return None


def slot_family(field: FieldInfo) -> str | None:
    """The family of a field that is a slot, such as `prior`, or None."""
    for item in field.metadata:
        if isinstance(item, Registry):
            return item.family
    for inner in get_args(field.annotation):
        for item in getattr(inner, "__metadata__", ()):
            if isinstance(item, Registry):
                return f"list of {item.family}"
    return None


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a model with slots, over what is registered now."""
    root = model.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = root.setdefault("$defs", {})
    for family, registry in FAMILIES.items():
        variants = []
        for entry in registry:
            component = entry.config.model_json_schema()
            definitions |= component.pop("$defs", {})
            component["title"] = f"{family}: {entry.kind}"
            component["required"] = sorted({*component.get("required", []), "kind"})
            component["description"] = entry.summary
            definitions[f"{family}.{entry.kind}"] = component
            variants.append({"$ref": f"#/$defs/{family}.{entry.kind}"})
        names = {"enum": [entry.kind for entry in registry], "title": "with its defaults"}
        numbers = [{"type": "number"}] if family == "schedule" else []
        definitions[family] = {"anyOf": [*variants, names, *numbers]}
    resolved: dict[str, Any] = _resolve(root)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **resolved}


def _resolve(node: Any) -> Any:
    if isinstance(node, dict):
        resolved = {key: _resolve(value) for key, value in node.items() if key != FAMILY_MARK}
        if FAMILY_MARK in node:
            resolved["$ref"] = f"#/$defs/{node[FAMILY_MARK]}"
        return resolved
    return [_resolve(item) for item in node] if isinstance(node, list) else node
