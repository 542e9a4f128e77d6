"""Metrics dealt out to several processes, with the values that one process would find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from vaelab.metrics.value import Value, averaged
from vaelab.processes import Processes

#: Measures metric number i, on the part of the data that the process has; None where it has none.
Evaluate = Callable[[int], dict[str, Value] | None]


def dealt(by_datum: Sequence[bool], evaluate: Evaluate, processes: Processes) -> list[dict[str, Value]]:
    """The values of all metrics, in their order, in every process.

    A metric that is a mean over data is computed by all processes, each on its part of the batches; the numbers of the data are
    then put together in their order, so that the mean has the same bits as one process's. Any other metric is computed by one
    process, and these take turns.

    Args:
        by_datum: of each metric, whether it is such a mean.
        evaluate: measures one.
        processes: who take part.
    """
    own: dict[int, dict[str, Value] | None] = {}
    turn = 0
    for i, every in enumerate(by_datum):
        if every or turn % processes.number == processes.rank:
            own[i] = evaluate(i)
        turn += not every
    if not processes.many:
        return [own[i] or {} for i in range(len(by_datum))]
    told = processes.gather_json(
        {
            i: {name: _without_terms(value) for name, value in found.items()}
            for i, found in own.items()
            if found is not None
        }
    )
    values: list[dict[str, Value]] = []
    for i, every in enumerate(by_datum):
        # of a mean the first process has a part, as every split has a batch
        of_one = next(theirs[str(i)] for theirs in told if str(i) in theirs)
        found = {name: Value(**content) for name, content in of_one.items()}
        if every:
            mine = own[i] or {}
            found = {name: _joined(value, mine.get(name), processes) for name, value in found.items()}
        values.append(found)
    return values


def _joined(value: Value, mine: Value | None, processes: Processes) -> Value:
    terms = mine.terms if mine is not None and mine.terms is not None else torch.zeros(0, dtype=torch.float64)
    return replace(averaged(processes.gather_rows(terms), value.unit, value.better), extractor=value.extractor)


def _without_terms(value: Value) -> dict[str, Any]:
    return {name: getattr(value, name) for name in ("value", "stderr", "unit", "better", "extractor", "number")}
