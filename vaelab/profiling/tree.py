"""From a profiler's events to a tree of calls, and to the time of each part of a step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch._C._autograd import DeviceType

from vaelab.profiling.marks import PREFIX

#: What torch calls the work of one node of the backward pass.
_BACKWARD_NODE = "autograd::engine::evaluate_function: "
#: What the profiler calls a step.
_STEP = "ProfilerStep"
_BACKWARD = "backward"
#: Under which everything of the model runs; a part of it is named without it.
_WHOLE = "objective"


@dataclass(slots=True)
class Call:
    """All calls with one path from the root of a step.

    Attributes:
        name: of the mark or operation.
        total: microseconds, with all that was called.
        number: of calls.
        part: whether it is a part of a step, and not an operation.
        children: by name.
    """

    name: str
    total: float = 0.0
    number: int = 0
    part: bool = False
    children: dict[str, Call] = field(default_factory=dict)

    def child(self, name: str, *, part: bool = False) -> Call:
        """The calls of this name from here."""
        if name not in self.children:
            self.children[name] = Call(name, part=part)
        return self.children[name]


@dataclass(slots=True)
class Part:
    """The time of one part of a step, in microseconds over all steps.

    Attributes:
        forward: of its own work.
        backward: of the backward pass through it.
        device: of its kernels on a GPU, both ways.
    """

    forward: float = 0.0
    backward: float = 0.0
    device: float = 0.0

    @property
    def total(self) -> float:
        """Both ways."""
        return self.forward + self.backward


@dataclass(slots=True)
class Operation:
    """An operation of torch, over all steps: microseconds of its own, and calls."""

    own: float = 0.0
    number: int = 0


@dataclass(slots=True)
class Tree:
    """What the steps did.

    Attributes:
        root: of the calls; its total is that of the steps.
        steps: how many.
        parts: by name.
        operations: by name.
    """

    root: Call
    steps: int
    parts: dict[str, Part]
    operations: dict[str, Operation]


@dataclass(slots=True)
class _Open:
    """A call that has not ended."""

    event: Any
    end: float
    call: Call
    marks: tuple[str, ...]
    #: The part that the backward pass is going through.
    backward_of: str | None
    inner: float = 0.0


def read(events: Sequence[Any], without: Iterable[str] = ()) -> Tree:
    """The tree of a profiler's events.

    Each node of the backward pass belongs to the part whose operation made it, which the sequence number tells.

    Args:
        events: `FunctionEvent`s.
        without: marks that are left out with all they contain.
    """
    left_out = {PREFIX + name for name in without}
    tree = Tree(Call("step"), 0, defaultdict(Part), defaultdict(Operation))
    made_by: dict[int, str] = {}
    threads: dict[int, list[Any]] = defaultdict(list)
    for event in events:
        if event.device_type == DeviceType.CPU and not event.is_async:
            threads[event.thread].append(event)
    main = next((event.thread for event in events if event.name.startswith(_STEP)), None)
    for thread in sorted(threads, key=lambda number: number != main):
        _read_thread(tree, threads[thread], made_by, left_out, main=thread == main)
    _subtract(tree)
    return tree


def _read_thread(tree: Tree, events: list[Any], made_by: dict[int, str], left_out: set[str], *, main: bool) -> None:
    stack: list[_Open] = []
    hidden = -1.0
    for event in sorted(events, key=lambda e: (e.time_range.start, -e.time_range.end)):
        start, end = event.time_range.start, event.time_range.end
        while stack and stack[-1].end <= start:
            _close(tree, stack)
        if start < hidden:
            continue
        if event.name in left_out:
            hidden = end
            for outer in stack:
                outer.call.total -= end - start
            if stack:
                stack[-1].inner += end - start
            continue
        if event.name.startswith(_STEP):
            tree.root.total += end - start
            tree.steps += 1
            stack.append(_Open(event, end, tree.root, (), None))
            continue
        if main and not stack:
            continue  # before the first step
        if stack and stack[-1].event.name == _BACKWARD_NODE + event.name:
            continue  # torch records such a node twice
        # a GPU's backward pass has a thread of its own, while the main one waits in `backward`
        outer = stack[-1] if stack else _Open(event, end, tree.root.child(_BACKWARD, part=True), (_BACKWARD,), None)
        stack.append(_open(event, outer, made_by))
    while stack:
        _close(tree, stack)


def _open(event: Any, outer: _Open, made_by: dict[int, str]) -> _Open:
    start, end, name = event.time_range.start, event.time_range.end, event.name
    outer.inner += end - start
    marks, backward_of, parent = outer.marks, outer.backward_of, outer.call
    if name.startswith(PREFIX):
        name = name.removeprefix(PREFIX)
        if not marks or marks[-1] != name:
            marks = (*marks, name)
    elif name.startswith(_BACKWARD_NODE):
        name = name.removeprefix(_BACKWARD_NODE)
        if _BACKWARD in marks and (part := made_by.get(event.sequence_nr)) is not None:
            backward_of = part
            parent = parent.child(f"of {part}", part=True)
            parent.total += end - start
            parent.number += 1
    elif event.sequence_nr >= 0:
        # operations without a gradient carry the number of the next node too, so the last one before its backward pass made it
        made_by[event.sequence_nr] = _name(marks)
    call = parent.child(name, part=event.name.startswith(PREFIX))
    call.total += end - start
    call.number += 1
    return _Open(event, end, call, marks, backward_of)


def _close(tree: Tree, stack: list[_Open]) -> None:
    done = stack.pop()
    own = max(0.0, done.end - done.event.time_range.start - done.inner)
    mark = done.call is tree.root or done.event.name.startswith(PREFIX)
    device = 0.0 if mark else float(getattr(done.event, "self_device_time_total", 0.0))
    part = tree.parts[done.backward_of or _name(done.marks)]
    part.device += device
    if done.backward_of is None:
        part.forward += own
    else:
        part.backward += own
    if not mark:
        operation = tree.operations[done.event.name.removeprefix(_BACKWARD_NODE)]
        operation.own += own
        operation.number += 1


def _name(marks: tuple[str, ...]) -> str:
    inner = marks[1:] if len(marks) > 1 and marks[0] == _WHOLE else marks
    return " / ".join(inner) if inner else "between the parts"


def _subtract(tree: Tree) -> None:
    """Where a thread worked for another that waited, the waiting is no work."""
    waited = tree.root.children.get(_BACKWARD)
    if waited is None:
        return
    work = sum(child.total for child in waited.children.values())
    surplus = sum(part.total for part in tree.parts.values()) - tree.root.total
    if surplus > 0 and work > 0:
        tree.parts[_BACKWARD].forward = max(0.0, tree.parts[_BACKWARD].forward - surplus)
