"""Reading experiment files and `--set`, strictly and within bounds."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vaelab.errors import ConfigError
from vaelab.wording import brief

#: Bytes of a JSON file. The largest that vaelab writes are evaluations, of some hundred kB.
MAX_BYTES = 64 * 2**20

#: Objects and lists within one another. The experiments that ship have 8 at most.
MAX_DEPTH = 40

#: Digits of a whole number; those of 64 bits have 19.
_MAX_DIGITS = 40


def read_json(path: Path) -> Any:
    """Strict JSON: no duplicate keys, no NaN or Infinity, no text that cannot be written again, bounded size and depth.

    Raises:
        ConfigError: naming the file, and the line or the JSON path where there is one.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Give the path of a JSON file.") from error
    except ValueError as error:  # a path that no file can have
        raise ConfigError(f"{str(path)!r}: cannot be read ({error}). Give the path of a JSON file.") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(
            f"{path}: more than {MAX_BYTES // 2**20} MiB, which no JSON file here needs. Give another file."
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8, or give a JSON file."
        ) from error
    return parse_json(text, str(path))


def parse_json(text: str, source: str, *, finite: bool = True) -> Any:
    """What `read_json` does, for text. Raises as it does, naming `source`.

    Args:
        text: the JSON.
        source: its name.
        finite: whether NaN and infinity are refused.
    """
    try:
        content = _parsed(text, finite)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{source}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: {_TOO_DEEP}") from error
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from error
    require_plain(content, source)
    return content


def require_plain(content: Any, source: str) -> None:
    """Refuse values that are nested too deeply or contain themselves, and text that no file can hold.

    Raises:
        ConfigError: naming `source` and the JSON path.
    """
    left: list[tuple[Any, str, int]] = [(content, "$", 0)]
    while left:
        node, path, depth = left.pop()
        if isinstance(node, str):
            _require_text(node, f"{source}: {path}")
        elif isinstance(node, Mapping | list | tuple):
            if depth >= MAX_DEPTH:
                raise ConfigError(f"{source}: {path[:100]}...: {_TOO_DEEP}")
            if isinstance(node, Mapping):
                for key, value in node.items():
                    if not isinstance(key, str):
                        raise ConfigError(f"{source}: {path}: the key {key!r} should be text")
                    _require_text(key, f"{source}: {path}")
                    left.append((value, f"{path}.{key}", depth + 1))
            else:
                left += [(value, f"{path}[{i}]", depth + 1) for i, value in enumerate(node)]


_TOO_DEEP = f"objects and lists are nested more than {MAX_DEPTH} deep, or contain themselves. Remove levels."


def _require_text(text: str, where: str) -> None:
    if "\0" in text:
        raise ConfigError(f"{where}: {text[:60]!r} holds the character NUL. Remove it.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ConfigError(f"{where}: {text[:60]!r} holds half a surrogate pair, which no text has. Remove it.")


def _parsed(text: str, finite: bool = True) -> Any:
    constant = _no_constant if finite else float
    return json.loads(text, object_pairs_hook=_unique, parse_constant=constant, parse_float=_finite, parse_int=_whole)


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
            raise ValueError(f"the key '{brief(key)}' stands twice in one object. Remove one of the two.")
        result[key] = value
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number. Use a finite one, or null where a key takes it.")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {brief(text)} is too large. Use one below 1.8e308.")
    return number


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"the number {brief(text)} has {len(text)} digits. Use one of {_MAX_DIGITS} at most.")
    return int(text)


def apply_overrides(content: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Set values by path: `training.epochs=3`, `objective.divergences.0.weight=4`, `name=trial`.

    The value is read as JSON where it is JSON, else as text; what begins as an object, a list or a quoted text must be
    JSON. A number in the path is a position in a list.

    Raises:
        ConfigError: the path leads nowhere, or the value is no JSON.
    """
    result: dict[str, Any] = copy.deepcopy(dict(content))
    for override in overrides:
        path, separator, text = override.partition("=")
        keys = path.strip().split(".")
        shown = brief(override)
        if not separator or not all(keys):
            raise ConfigError(f"--set {shown}: write a path, '=' and a value, such as training.epochs=3")
        if len(keys) > MAX_DEPTH:
            raise ConfigError(f"--set {shown}: {_TOO_DEEP}")
        value = _value(text, shown)
        require_plain({path: value}, f"--set {shown!a}")
        _set(result, keys, value, shown)
    return result


def _value(text: str, override: str) -> Any:
    try:
        return _parsed(text)
    except RecursionError as error:
        raise ConfigError(f"--set {override}: {_TOO_DEEP}") from error
    except ValueError as error:
        if text.lstrip()[:1] in ("{", "[", '"'):
            raise ConfigError(f"--set {override}: the value is no JSON: {error}. Quote it for the shell.") from error
        return text


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
        elif isinstance(node, list) and key.isascii() and key.isdecimal() and len(key) < 10 and int(key) < len(node):
            if last:
                node[int(key)] = value
                return
            if isinstance(node[int(key)], str):
                node[int(key)] = {"kind": node[int(key)]}
            node = node[int(key)]
        else:
            place = ".".join(keys[:depth]) or "the experiment"
            what = f"a list of {len(node)}" if isinstance(node, list) else f"no object but {brief(json.dumps(node))}"
            raise ConfigError(
                f"--set {override}: {place} is {what}, and has no '{key}'. Set {place} as a whole, or another key."
            )
