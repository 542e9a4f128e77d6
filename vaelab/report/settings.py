"""The configuration with what each key means, and the components in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from pydantic import BaseModel

from vaelab.catalogue import docstring
from vaelab.reading import leaves
from vaelab.registry import FAMILIES, ComponentConfig, Entry
from vaelab.report.collect import RunContent
from vaelab.report.mathematics import marked_up


@dataclass(frozen=True)
class Setting:
    """One key.

    Attributes:
        path: such as `training.epochs`.
        texts: its value in each run as JSON, or None where a run has no such key.
        words: what it does.
        usual: whether all runs have the default.
        differs: whether the runs differ in it.
        part: where the value names a component: the id of its description, else empty.
    """

    path: str
    texts: list[str | None]
    words: Markup
    usual: bool
    differs: bool
    part: str


@dataclass(frozen=True)
class Part:
    """A component that a run uses.

    Attributes:
        id: of its description in the page.
        family: such as prior.
        kind: such as vamp.
        paragraphs: its docstring's first, and the one that says when to use it.
        link: to its page in the documentation, or empty.
    """

    id: str
    family: str
    kind: str
    paragraphs: list[Markup]
    link: str


def settings(runs: Sequence[RunContent]) -> list[Setting]:
    """All keys of all runs, in the order of the files."""
    columns = [dict(leaves(run.config)) for run in runs]
    described: dict[str, tuple[str, Any, str]] = {}
    for run in runs:
        if run.experiment is not None:
            described |= dict(_described(run.experiment))
    found = []
    for path in dict.fromkeys(path for column in columns for path in column):
        words, usual, part = described.get(path, ("", _NONE, ""))
        values = [column.get(path, _NONE) for column in columns]
        texts = [None if value is _NONE else _text(value) for value in values]
        is_usual = usual is not _NONE and all(value is not _NONE and _text(value) == _text(usual) for value in values)
        found.append(Setting(path, texts, marked_up(words), is_usual, len(set(texts)) > 1, part))
    return found


_NONE: Any = object()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _described(node: Any, path: str = "") -> Iterator[tuple[str, tuple[str, Any, str]]]:
    """Path, and description, default and component of each key below a node."""
    if isinstance(node, BaseModel):
        for key, field in type(node).model_fields.items():
            below = f"{path}.{key}" if path else key
            usual = _NONE if field.is_required() else field.get_default(call_default_factory=True)
            entry = _entry(node) if key == "kind" else None
            words, part = (field.description or "", "") if entry is None else (entry[1].summary, _id(*entry))
            yield below, (" ".join(words.split()), _NONE if key == "kind" else _plain(usual), part)
            yield from _described(getattr(node, key), below)
    elif isinstance(node, tuple | list):
        for i, item in enumerate(node):
            yield from _described(item, f"{path}.{i}")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _entry(config: Any) -> tuple[str, Entry] | None:
    if not isinstance(config, ComponentConfig):
        return None
    for family, registry in FAMILIES.items():
        if config.kind in registry and registry[config.kind].config is type(config):
            return family, registry[config.kind]
    return None


def _id(family: str, entry: Entry) -> str:
    return f"part-{family}-{entry.kind}"


def parts(runs: Sequence[RunContent], docs: str = "") -> list[Part]:
    """Every component that the runs name, once.

    Args:
        runs: the runs.
        docs: address of the built documentation; without it there are no links out of the page.
    """
    found: dict[str, Part] = {}
    for run in runs:
        for family, entry in _entries(run.experiment):
            key = _id(family, entry)
            link = f"{docs.rstrip('/')}/components/{family}/#{entry.kind}" if docs else ""
            found.setdefault(key, Part(key, family, entry.kind, _paragraphs(entry), link))
    order = list(FAMILIES)
    return sorted(found.values(), key=lambda part: (order.index(part.family), part.kind))


def _entries(node: Any) -> Iterator[tuple[str, Entry]]:
    if isinstance(node, BaseModel):
        if (entry := _entry(node)) is not None:
            yield entry
        for key in type(node).model_fields:
            yield from _entries(getattr(node, key))
    elif isinstance(node, tuple | list):
        for item in node:
            yield from _entries(item)


def _paragraphs(entry: Entry) -> list[Markup]:
    every = docstring(entry).split("\n\n")
    wanted = every[:1] + [text for text in every[1:] if text.startswith("Use it")][:1]
    return [marked_up(text) for text in wanted if text.strip()]
