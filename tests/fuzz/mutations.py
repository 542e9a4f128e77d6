"""Experiments with a few things wrong, as text."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

import vaelab
from vaelab.registry import FAMILIES

ROOT = Path(vaelab.__file__).parents[1]
EXPERIMENTS = {
    str(path.relative_to(ROOT)): json.loads(path.read_text()) for path in sorted((ROOT / "experiments").rglob("*.json"))
}

#: Text that JSON's writer cannot make, put in for a mark after it has written the rest.
RAW = [
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000, "01", "tru", "'x'", '"\\ud800"', '"\\u0000"', '"\\q"', "// no",
    '{"kind": "mlp", "kind": "conv"}', '{"a": 1, "a": 1}', "[" * 3000 + "]" * 3000, '{"a":' * 200 + "1" + "}" * 200, "", ",", "{,}",
    '"unfinished', "\ufeff1", "[1,]", "-0", "1e5", "1E+2", "0.0", "-0.0",
]  # fmt: skip
MARK = "\x01raw\x01"

TEXTS = [
    "", " ", "a", "../../etc/passwd", "..", "/", "x" * 300, "x/" * 3000, "\u202eabc", "Straße", "💥", "e\u0301",
    "<script>alert(1)</script>",
    "[red]bold[/red]", "{x}", "%s", "%(a)s", "${HOME}",
    "~nobody-of-that-name/x", "con", "null", "true", "1", "-1", "nan", "1e5", "\n", "a\tb",
    "a b",
    "__import__('os')", "vaelab.priors.vamp", "json", ".json", "no.such.module", "os.path", "$.x", "a.b", "max", "auto", "$schema",
]  # fmt: skip
NUMBERS = [
    0, 1, -1, 2, 3, 7, 64, 10**3, 10**6, 10**9, 10**12, 2**31, 2**32, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 10**39, -(10**30),
    0.0, -0.0, 0.5, -0.5, 1.0, 1.5, 1e-300, 1e300, -1e300, 5e-324, 1e5, 3.0,
]  # fmt: skip
LEAVES = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.sampled_from(
        [None, True, False, [], {}, [[]], [None], {"kind": None}, {"kind": 3}, {"": {}}, [1, 2, 3], ["a"] * 50]
    ),
    st.sampled_from([MARK + str(i) for i in range(len(RAW))]),
    st.text(max_size=8),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
KINDS = [(family, entry.kind) for family, registry in FAMILIES.items() for entry in registry]
EXAMPLES = {
    (family, entry.kind): entry.config.example().model_dump(mode="json")
    for family, registry in FAMILIES.items()
    for entry in registry
}

Place = tuple[Any, Any]
"""A container and a key of it."""


def places(content: Any) -> list[Place]:
    """Every value in a JSON, by the object or list that it is in."""
    found: list[Place] = []
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        found.append((content, key))
        if isinstance(value, dict | list):
            found += places(value)
    return found


def _nested(leaf: Any, depth: int, in_list: bool) -> Any:
    for _ in range(depth):
        leaf = [leaf] if in_list else {"kind": "product", "data": leaf}
    return leaf


@st.composite
def plausible(draw: DrawFn) -> str:
    """The text of an experiment with one to three other numbers and components, most of which pass validation."""
    content = copy.deepcopy(EXPERIMENTS[draw(st.sampled_from(list(EXPERIMENTS)))])
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        container, key = draw(st.sampled_from(places(content)))
        value = container[key]
        if isinstance(value, bool):
            container[key] = not value
        elif isinstance(value, int):
            container[key] = draw(
                st.sampled_from([0, 1, 2, 3, 5, 8, 17, 100, 1000, 10**4, 10**5, 10**6, 10**9, 10**12, 2**62])
            )
        elif isinstance(value, float):
            container[key] = value * draw(st.sampled_from([-1, 0, 1e-30, 0.1, 10, 1e30, 1e300]))
        elif isinstance(value, list) and value:
            container[key] = draw(st.sampled_from([value[:1], value * 2, value * 500, value[::-1], []]))
        else:
            _other_kind(draw, container, key)
    return json.dumps(content)


@st.composite
def mutated(draw: DrawFn, names: list[str] | None = None) -> str:
    """The text of one of the experiments that ship with one to three things changed."""
    name = draw(st.sampled_from(names or list(EXPERIMENTS)))
    content = copy.deepcopy(EXPERIMENTS[name])
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        if content:
            change(draw, content)
    text = json.dumps(content)
    for i, raw in enumerate(RAW):
        text = text.replace(json.dumps(MARK + str(i)), raw)
    return text


def change(draw: DrawFn, content: Any) -> None:
    """Change one thing anywhere in a JSON."""
    container, key = draw(st.sampled_from(places(content)))
    how = draw(
        st.sampled_from(
            ["leaf"] * 6 + ["kind"] * 3 + ["example", "delete", "add", "rename", "graft", "nest", "repeat", "scale"]
        )
    )
    if how == "leaf":
        container[key] = copy.deepcopy(draw(LEAVES))
    elif how == "kind":
        _other_kind(draw, container, key)
    elif how == "example":
        container[key] = copy.deepcopy(EXAMPLES[draw(st.sampled_from(KINDS))])
    elif how == "delete":
        del container[key]
    elif how == "add":
        target = container[key] if isinstance(container[key], dict) else container
        if isinstance(target, dict):
            target[
                draw(
                    st.sampled_from(
                        ["kind", "plugins", "seed", "device", "trackers", "$schema", "x", "weight", *TEXTS[:20]]
                    )
                )
            ] = copy.deepcopy(draw(LEAVES))
        else:
            target.append(copy.deepcopy(draw(LEAVES)))
    elif how == "rename" and isinstance(container, dict):
        container[key + draw(st.sampled_from(["s", "_", " ", "x"]))] = container.pop(key)
    elif how == "graft":
        other, at = draw(st.sampled_from(places(EXPERIMENTS[draw(st.sampled_from(list(EXPERIMENTS)))])))
        container[key] = copy.deepcopy(other[at])
    elif how == "nest":
        container[key] = _nested(container[key], draw(st.sampled_from([1, 2, 5, 30, 60, 500])), draw(st.booleans()))
    elif how == "repeat" and isinstance(container[key], list) and container[key]:
        container[key] = container[key] * draw(st.sampled_from([2, 3, 100]))
    elif how == "scale" and isinstance(container[key], int | float) and not isinstance(container[key], bool):
        container[key] = container[key] * draw(st.sampled_from([-1, 0, 10, 1000, 10**9, 0.1]))


def _other_kind(draw: DrawFn, container: Any, key: Any) -> None:
    """Another component of the same family, most often, with its example's arguments or none."""
    value = container[key]
    kind = value.get("kind") if isinstance(value, dict) else value
    families = [family for family, known in KINDS if known == kind]
    if not families:
        container[key] = copy.deepcopy(draw(LEAVES))
        return
    chosen = draw(st.sampled_from([pair for pair in KINDS if pair[0] in families]))
    how = draw(st.sampled_from(["bare", "example", "swap"]))
    if how == "swap" and isinstance(value, dict):
        value["kind"] = chosen[1]
    else:
        container[key] = chosen[1] if how == "bare" else copy.deepcopy(EXAMPLES[chosen])
