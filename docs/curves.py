"""A schedule as a curve, drawn in the page itself so that it has the colours of the theme."""

from __future__ import annotations

from vaelab.schedules import Schedule
from vaelab.types import StepContext

#: The training of the picture: long enough for the default of every schedule.
_EPOCHS, _STEPS_PER_EPOCH = 20, 10
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 420, 130, 56, 10, 24


def curve(schedule: Schedule) -> str:
    """The value over a training of 20 epochs, as SVG with a sentence that says so."""
    total = _EPOCHS * _STEPS_PER_EPOCH
    values = [schedule(StepContext(step, _STEPS_PER_EPOCH, total)) for step in range(total + 1)]
    low, high = min(0.0, *values), max(values)
    across, down = (_WIDTH - _LEFT - 8) / total, (_HEIGHT - _TOP - _BOTTOM) / (high - low or 1.0)
    points = " ".join(f"{_LEFT + across * i:.1f},{_TOP + down * (high - v):.1f}" for i, v in enumerate(values))
    floor = _HEIGHT - _BOTTOM
    kind = schedule.config.kind
    marks = [(_LEFT - 6, _TOP + 4, "end", f"{high:.3g}"), (_LEFT - 6, floor + 4, "end", f"{low:.3g}")]
    marks += [(_LEFT + across * _STEPS_PER_EPOCH * e, _HEIGHT - 8, "middle", str(e)) for e in (0, 5, 10, 15, 20)]
    text = "".join(
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{word}</text>' for x, y, anchor, word in marks
    )
    picture = (
        f'<svg class="schedule" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Value of {kind} over 20 epochs">'
        f'<path class="axes" d="M{_LEFT},{_TOP} V{floor} H{_WIDTH - 8}"/><polyline points="{points}"/>{text}</svg>'
    )
    return f"{picture}\n\nWith its defaults, over a training of {_EPOCHS} epochs."
