"""Which units of a model collapsed in training, when, and a likely cause."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vaelab.errors import DataError

#: What became of a unit.
Fate = Literal["active", "never used", "lost", "mismatched"]

_RATE = re.compile(r"^unit_rate/group_(\d+)/unit_(\d+)$")


def unit_name(what: Literal["rate", "explained"], group: int, unit: int) -> str:
    """Name of the value of one unit, as the metric `collapse` gives it."""
    return f"unit_{what}/group_{group}/unit_{unit}"


@dataclass(frozen=True)
class UnitReport:
    """What became of one unit.

    Attributes:
        group: its latent group, counted from 0.
        unit: its number in the flattened group.
        fate: `active`; `never used`, its rate was below the threshold at each validation; `lost`, it was above before; or
            `mismatched`, it has a rate and says nothing of x.
        rate: in nats, at the last validation.
        peak: the highest rate of all validations.
        since: the first step from which on it has had its fate.
        cause: a likely one, in words; empty for an active unit.
    """

    group: int
    unit: int
    fate: Fate
    rate: float
    peak: float
    since: int
    cause: str

    def __str__(self) -> str:
        start = f"group {self.group}, unit {self.unit}: {self.fate} since step {self.since}, rate {self.rate:.3g} nats"
        return f"{start} (at most {self.peak:.3g}). {self.cause}".rstrip()


def collapse_report(history: Iterable[Mapping[str, Any]], epsilon: float = 0.01) -> tuple[UnitReport, ...]:
    """What became of each unit, from the validations of a run that had the metric `{"kind": "collapse", "units": true}`.

    A unit counts as collapsed here where its mean rate is below `epsilon`; the metric asks for nearly all data. The causes are
    conclusions from how rates moved together, and no proof:

    - lost while the total rate did not fall: other units took over what it said.
    - lost while the total rate fell: the weight of the KL rose, or the decoder learned to do without.
    - never used, and others are: there are more units than the data need at this weight of the KL. In a linear model these are
      the directions whose variance is no larger than that of the noise (Lucas et al. 2019).
    - never used, and no other is: the KL won before the decoder had learned to use latents (Bowman et al. 2016).
    - mismatched: something pays for a rate without information, such as free bits; or the prior does not fit.

    Args:
        history: the lines of metrics.jsonl, such as `Run.history`.
        epsilon: in nats.

    Raises:
        DataError: no validation has the rates of units.
    """
    lines = [line for line in history if line.get("split") == "validation" and any(map(_RATE.match, line))]
    if not lines:
        raise DataError(
            'there are no rates of units in this history. Add {"kind": "collapse", "units": true} to the metrics of '
            '"training.validation", with validation data, and train again.'
        )
    names = sorted((int(found[1]), int(found[2])) for found in map(_RATE.match, lines[-1]) if found)
    steps = [int(line["step"]) for line in lines]
    rates = {name: [_number(line, unit_name("rate", *name)) for line in lines] for name in names}
    total = [sum(rate[k] for rate in rates.values()) for k in range(len(lines))]
    any_active = any(rate[-1] >= epsilon for rate in rates.values())
    return tuple(_judge(name, rates[name], total, lines, steps, epsilon, any_active) for name in names)


def _judge(
    name: tuple[int, int],
    rate: list[float],
    total: list[float],
    lines: list[Mapping[str, Any]],
    steps: list[int],
    epsilon: float,
    any_active: bool,
) -> UnitReport:
    says_nothing = [_number(line, unit_name("explained", *name)) < 0.01 for line in lines]
    fates = [0 if r < epsilon else 1 if nothing else 2 for r, nothing in zip(rate, says_nothing, strict=True)]
    first = len(fates) - 1
    while first > 0 and fates[first - 1] == fates[-1]:
        first -= 1
    fate: Fate
    if fates[-1] == 2:
        fate, cause = "active", ""
    elif fates[-1] == 1:
        fate = "mismatched"
        cause = "Something pays for a rate without information, such as free bits; or the prior does not fit."
    elif first == 0:
        fate, cause = "never used", _UNUSED if any_active else _NONE_USED
    else:
        fate = "lost"
        best = rate.index(max(rate))
        cause = _TAKEN_OVER if total[first] >= total[best] - rate[best] / 2 else _PRESSED
    return UnitReport(*name, fate, rate[-1], max(rate), steps[first], cause)


def _number(line: Mapping[str, Any], name: str) -> float:
    value = line.get(name)
    return float("nan") if value is None else float(value)


_UNUSED = "There are more units than the data need at this weight of the KL; fewer would do."
_NONE_USED = (
    "No unit is used: the KL won before the decoder had learned to use latents. Raise its weight slowly, allow free bits, or "
    "take a weaker decoder."
)
_TAKEN_OVER = "The total rate did not fall with it: other units took over what it said."
_PRESSED = (
    "The total rate fell with it: the weight of the KL rose, or the decoder learned to do without. Lower the weight, set a floor "
    "by free bits or `controlled_kl`, or take a weaker decoder."
)
