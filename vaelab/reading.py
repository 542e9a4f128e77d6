"""Reading experiment files and `--set`, strictly."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vaelab.errors import ConfigError


def read_json(path: Path) -> Any:
    """Strict JSON: no duplicate keys, no NaN or Infinity.

    Raises:
        ConfigError: naming the file, and the line where there is one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from error


def leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested objects by their path, such as `model.prior.dim`; lists of plain values are leaves."""
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(content, list) and any(isinstance(value, dict) for value in content):
        for i, value in enumerate(content):
            yield from leaves(value, f"{path}.{i}")
    else:
        yield path, content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key '{key}' stands twice in one object")
        result[key] = value
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def apply_overrides(content: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Set values by path: `training.epochs=3`, `objective.divergences.0.weight=4`, `name=trial`.

    The value is read as JSON where it is JSON, else as text. A number in the path is a position in a list.

    Raises:
        ConfigError: the path leads nowhere.
    """
    result: dict[str, Any] = json.loads(json.dumps(content))
    for override in overrides:
        path, separator, text = override.partition("=")
        keys = path.strip().split(".")
        if not separator or not all(keys):
            raise ConfigError(f"--set {override}: write a path, '=' and a value, such as training.epochs=3")
        try:
            value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        except ValueError:
            value = text
        _set(result, keys, value, override)
    return result


def _set(node: Any, keys: list[str], value: Any, override: str) -> None:
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, dict):
            if last:
                node[key] = value
                return
            child = node.setdefault(key, {})
            if isinstance(child, str):  # a kind written as a bare name is an object in short
                child = node[key] = {"kind": child}
            node = child
        elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            if last:
                node[int(key)] = value
                return
            if isinstance(node[int(key)], str):
                node[int(key)] = {"kind": node[int(key)]}
            node = node[int(key)]
        else:
            place = ".".join(keys[:depth]) or "the experiment"
            what = f"a list of {len(node)}" if isinstance(node, list) else f"no object but {json.dumps(node)}"
            raise ConfigError(f"--set {override}: {place} is {what}, and has no '{key}'")
