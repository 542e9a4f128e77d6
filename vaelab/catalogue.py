"""What is registered, in words: for `list`, `show` and the docs."""

from __future__ import annotations

import difflib
import inspect
import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from vaelab.errors import ConfigError
from vaelab.registry import FAMILIES, ComponentConfig, Entry, Registry
from vaelab.slots import slot_family

_CODE_OR_FORMULA = re.compile(r"(`[^`]+`)|(\$\$.+?\$\$|\$[^$]+\$)", re.DOTALL)
_SIGN = re.compile(r"[!-/:-@\[-`{-~]")


@dataclass(frozen=True)
class Argument:
    """One key of a component's JSON."""

    name: str
    type: str
    default: str
    description: str


def family(name: str) -> Registry:
    """A family by its name.

    Raises:
        ConfigError: listing the families.
    """
    if name not in FAMILIES:
        near = difflib.get_close_matches(name, FAMILIES, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"there is no family '{name}'.{hint} Families: {', '.join(FAMILIES)}.")
    return FAMILIES[name]


def arguments(config: type[ComponentConfig]) -> list[Argument]:
    """The keys of a config beside `kind`."""
    properties: dict[str, Any] = config.model_json_schema()["properties"]
    found = []
    for name, field in config.model_fields.items():
        if name == "kind":
            continue
        default = "required"
        if not field.is_required():
            value = field.get_default(call_default_factory=True)
            default = "" if value is PydanticUndefined else json.dumps(_plain(value))
        description = " ".join((field.description or "").split())
        found.append(Argument(name, slot_family(field) or _type(properties[name]), default, description))
    return found


def example(entry: Entry) -> str:
    """A small valid JSON of the component."""
    return json.dumps(entry.config.example().model_dump(mode="json"))


def docstring(entry: Entry) -> str:
    """The component's docstring, unindented."""
    return inspect.cleandoc(entry.component.__doc__ or "")


def literal_formulas(markdown: str) -> str:
    """The same with every sign of its formulas escaped, since Markdown would take `\\,` for a comma and `*` for a mark."""
    return _CODE_OR_FORMULA.sub(lambda found: found[1] or _SIGN.sub(r"\\\g<0>", found[2]), markdown)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _type(schema: dict[str, Any]) -> str:
    """A JSON schema in few words."""
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " | ".join(_type(option) for option in schema[union])
    name = str(schema.get("type", "object"))
    if name == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(_type(item) for item in schema['prefixItems'])}]"
        return f"list of {_type(schema.get('items', {}))}"
    bounds = [
        f"{sign} {schema[key]:g}"
        for key, sign in (("exclusiveMinimum", ">"), ("minimum", ">="), ("exclusiveMaximum", "<"), ("maximum", "<="))
        if key in schema
    ]
    return " ".join([name, *([", ".join(bounds)] if bounds else [])])
