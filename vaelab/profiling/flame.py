"""A flame graph as one SVG file that needs nothing else."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from html import escape
from typing import Any, NamedTuple

from vaelab.profiling.tree import Call, Tree

_WIDTH, _ROW, _LEFT, _TOP = 1400, 19, 10, 46
#: Narrower boxes are left out, in pixels.
_LEAST = 0.5
#: Pixels of a letter.
_LETTER = 6.7
#: Of parts, told apart by their names; operations are grey.
_COLOURS = ("#f4a582", "#92c5de", "#b8e186", "#fdd17a", "#c2a5cf", "#80cdc1", "#e6b8a2", "#a6bddb")
_GREY = ("#d9d9d9", "#c8c8c8")
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd]")


class _Box(NamedTuple):
    call: Call
    left: float
    width: float
    depth: int
    colour: str


def flame_graph(tree: Tree, about: dict[str, Any]) -> str:
    """The calls of a step from the top down, each as wide as its time; pointing at one shows its numbers."""
    boxes = list(_boxes(tree.root, _LEFT, _WIDTH - 2 * _LEFT, 0, _GREY[0]))
    height = _TOP + _ROW * (1 + max((box.depth for box in boxes), default=0)) + 10
    steps = max(tree.steps, 1)
    title = (
        f"{about.get('name', '')}: {tree.root.total / steps / 1e3:.3g} ms a step while profiled, mean of {tree.steps}"
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="ui-monospace, monospace" font-size="11">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="26" font-size="15" fill="#000000">{_safe(title)}</text>',
        *(_drawn(box, tree, steps) for box in boxes),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _boxes(call: Call, left: float, width: float, depth: int, colour: str) -> Iterator[_Box]:
    yield _Box(call, left, width, depth, colour)
    scale = width / max(call.total, sum(child.total for child in call.children.values()), 1e-9)
    for child in sorted(call.children.values(), key=lambda each: -each.total):
        if child.total * scale >= _LEAST:
            yield from _boxes(child, left, child.total * scale, depth + 1, _colour(child, depth))
        left += child.total * scale


def _colour(call: Call, depth: int) -> str:
    if not call.part:
        return _GREY[depth % len(_GREY)]
    # a part and the backward pass through it look alike
    return _COLOURS[zlib.crc32(call.name.removeprefix("of ").encode()) % len(_COLOURS)]


def _drawn(box: _Box, tree: Tree, steps: int) -> str:
    call = box.call
    y = _TOP + _ROW * box.depth
    share = 100 * call.total / (tree.root.total or 1.0)
    told = f"{call.name}: {call.total / steps:,.1f} µs a step, {share:.1f} %"
    if call.number:
        told += f", {call.number / steps:g} calls"
    letters = int((box.width - 6) / _LETTER)
    shown = call.name if len(call.name) <= letters else f"{call.name[: letters - 1]}…" if letters >= 4 else ""
    text = f'<text x="{box.left + 3:.1f}" y="{y + 13}">{_safe(shown)}</text>' if shown else ""
    return (
        f'<g><title>{_safe(told)}</title><rect x="{box.left:.2f}" y="{y}" width="{box.width:.2f}" height="{_ROW - 1}" '
        f'fill="{box.colour}" stroke="#ffffff" stroke-width="0.5"/>{text}</g>'
    )


def _safe(text: str) -> str:
    return escape(_ILLEGAL.sub("\ufffd", text))
