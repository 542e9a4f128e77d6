"""The table of a profile, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vaelab.profiling.tree import Tree

#: Operations in the table.
_LISTED = 15


@dataclass(slots=True)
class Rare:
    """What is done in few steps: seconds over the whole training, and how often."""

    seconds: float = 0.0
    number: int = 0


@dataclass(frozen=True)
class Measured:
    """A profile.

    Attributes:
        tree: of the profiled steps.
        seconds: a step while nobody looks.
        rare: by name, over the whole training.
        taken: steps of the training so far.
        about: what the figures are of.
    """

    tree: Tree
    seconds: float
    rare: dict[str, Rare]
    taken: int
    about: dict[str, Any]


def as_json(measured: Measured) -> dict[str, Any]:
    """All figures, in microseconds a step."""
    tree = measured.tree
    steps = max(tree.steps, 1)
    parts = [
        {
            "name": name,
            "forward_us": round(part.forward / steps, 3),
            "backward_us": round(part.backward / steps, 3),
            "device_us": round(part.device / steps, 3),
            "share": round(part.total / (tree.root.total or 1.0), 5),
        }
        for name, part in sorted(tree.parts.items(), key=lambda item: -item[1].total)
    ]
    operations = [
        {"name": name, "own_us": round(operation.own / steps, 3), "calls": operation.number / steps}
        for name, operation in sorted(tree.operations.items(), key=lambda item: -item[1].own)
    ]
    rare = [
        {
            "name": name,
            "times": each.number,
            "each_us": round(1e6 * each.seconds / each.number, 1),
            "a_step_us": round(1e6 * each.seconds / measured.taken, 3),
        }
        for name, each in measured.rare.items()
        if each.number
    ]
    return {
        **measured.about,
        "profiled_steps": tree.steps,
        "step_us": round(1e6 * measured.seconds, 1),
        "profiled_step_us": round(tree.root.total / steps, 1),
        "parts": parts,
        "rare": rare,
        "operations": operations,
    }


def as_markdown(measured: Measured) -> str:
    """The same for reading."""
    content = as_json(measured)
    head = [f"# Profile of {_text(content['name'])}", ""]
    head += [
        ", ".join(f"{_text(key)} {_text(value)}" for key, value in measured.about.items() if key != "name") + ".",
        "",
    ]
    head += [
        f"A step takes {_time(content['step_us'])}, and {_time(content['profiled_step_us'])} while each operation is recorded "
        f"({content['profiled_steps']} steps). Small operations bear most of the difference, so read shares of parts that "
        "consist of many with care.",
        "",
    ]
    device = any(part["device_us"] for part in content["parts"])
    columns = ["part", "forward", "backward", *(["on the GPU"] if device else []), "share"]
    rows = [
        [
            part["name"],
            _time(part["forward_us"]),
            _time(part["backward_us"]),
            *([_time(part["device_us"])] if device else []),
            f"{100 * part['share']:.1f} %",
        ]
        for part in content["parts"]
    ]
    rare = [[each["name"], each["times"], _time(each["each_us"]), _time(each["a_step_us"])] for each in content["rare"]]
    operations = [
        [each["name"], f"{each['calls']:g}", _time(each["own_us"])] for each in content["operations"][:_LISTED]
    ]
    sections = [
        *head,
        "## Parts of a step",
        "",
        *_table(columns, rows),
        "",
        "The work of a part alone, without that of the parts inside it. `prior / encoder` is the encoder where the prior asks it.",
        "",
        *(
            [
                "## In some steps alone",
                "",
                f"Over the {measured.taken:,} steps of this training.",
                "",
                *_table(["", "times", "each", "spread over all steps"], rare),
                "",
            ]
            if rare
            else []
        ),
        "## Operations",
        "",
        *_table(["operation", "calls a step", "time of its own a step"], operations),
    ]
    return "\n".join(sections) + "\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", "| --- |" + " ---: |" * (len(columns) - 1)]
    return lines + ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in rows]


def _text(value: object) -> str:
    """A name as Markdown shows it: names come from plugins too."""
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _time(microseconds: float) -> str:
    if microseconds >= 1e6:
        return f"{microseconds / 1e6:.2f} s"
    return f"{microseconds / 1e3:.2f} ms" if microseconds >= 1e3 else f"{microseconds:.0f} µs"
