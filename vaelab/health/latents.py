"""What the rates of latent units and groups tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from vaelab.errors import DataError
from vaelab.health.finding import Finding
from vaelab.metrics.collapse_report import UnitReport, collapse_report
from vaelab.wording import some

Line = dict[str, Any]

#: Nats, below which a group or a unit carries nothing.
EPSILON = 0.01
_GROUP = re.compile(r"^rate/group_(\d+)$")


def unit_reports(lines: Sequence[Line]) -> tuple[UnitReport, ...]:
    """What became of each unit, from the probes or the validations that have their rates; nothing where none has."""
    for split in ("probe", "validation"):
        chosen = [{**line, "split": "validation"} for line in lines if line.get("split") == split]
        try:
            return collapse_report(chosen, EPSILON)
        except DataError:
            continue
    return ()


def of_latents(lines: Sequence[Line]) -> list[Finding]:
    """Units that collapsed while the model trained, units that never did anything, and groups that carry nothing."""
    probes = [line for line in lines if line.get("split") in ("probe", "validation")]
    reports = unit_reports(probes)
    first = min((line["step"] for line in probes), default=0)
    several = len({report.group for report in reports}) > 1
    lost = [report for report in reports if report.fate == "lost"]
    found = [_lost(step, [r for r in lost if r.since == step], several) for step in sorted({r.since for r in lost})]
    last = max((line["step"] for line in probes), default=0)
    if last > first:
        found += _never_used([report for report in reports if report.fate == "never used"], reports, several)
        found += _mismatched([report for report in reports if report.fate == "mismatched"], several)
        found += _groups(probes)
    return found


def _lost(step: int, units: Sequence[UnitReport], several: bool) -> Finding:
    peak = max(unit.peak for unit in units)
    causes = list(dict.fromkeys(unit.cause for unit in units))
    return Finding(
        "unit_collapsing",
        "warning",
        f"{_count(units)} collapsed",
        f"The rate of {_names(units, several)} fell below {EPSILON:g} nats at step {step}; it was at most {peak:.3g}.",
        " ".join(causes),
        "If reconstructions are good this is no defect, and fewer units would do. Else lower the weight of the KL or "
        "raise it more slowly.",
        step,
        str(step),
    )


def _never_used(units: Sequence[UnitReport], every: Sequence[UnitReport], several: bool) -> list[Finding]:
    if not units:
        return []
    seen = f"{_names(units, several)} had a rate below {EPSILON:g} nats whenever they were looked at."
    return [
        Finding(
            "units_unused",
            "note" if len(units) < len(every) else "problem",
            f"{len(units)} of {len(every)} units were never used",
            seen[0].upper() + seen[1:],
            units[0].cause,
            "Fewer latents would do; nothing need be done.",
        )
    ]


def _mismatched(units: Sequence[UnitReport], several: bool) -> list[Finding]:
    if not units:
        return []
    return [
        Finding(
            "units_mismatched",
            "warning",
            f"{_count(units)} cost a rate and say nothing",
            f"The data determine less than 1 % of the variance of {_names(units, several)}, and yet the rate is up to "
            f"{max(unit.rate for unit in units):.3g} nats.",
            units[0].cause,
            "Lower the floor of the rate, or take a prior that can be learned.",
        )
    ]


def _groups(lines: Sequence[Line]) -> list[Finding]:
    last = next((line for line in reversed(lines) if any(map(_GROUP.match, line))), None)
    if last is None:
        return []
    rates = {int(found[1]): last[name] for name in last if (found := _GROUP.match(name))}
    empty = [str(group) for group, rate in sorted(rates.items()) if rate is not None and rate < EPSILON]
    if not empty or len(empty) == len(rates):  # where all are empty, the KL has vanished, and another rule says so
        return []
    return [
        Finding(
            "groups_empty",
            "note",
            f"{len(empty)} of {len(rates)} latent groups carry nothing",
            f"The rate of group {some(empty)} is below {EPSILON:g} nats at step {last['step']}.",
            "The groups before say it already, the data have nothing to say there, or the group was shut off early.",
            "Fewer groups would do; or add 'free_bits', or raise the weight of the KL slowly.",
        )
    ]


def _count(units: Sequence[UnitReport]) -> str:
    return "1 latent unit" if len(units) == 1 else f"{len(units)} latent units"


def _names(units: Sequence[UnitReport], several: bool) -> str:
    names = [f"{unit.group}.{unit.unit}" if several else str(unit.unit) for unit in units]
    return f"{'unit' if len(names) == 1 else 'units'} {some(names)}{' (group.unit)' if several else ''}"
