"""Measures vaelab and others in turn, so that other work on the machine disturbs all alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

#: Greatest ratio of vaelab's time to another's, by benchmark and name of the other.
GOALS = {
    ("vae, batch 64", "bare loop"): 1.05,
    ("vae, batch 512", "bare loop"): 1.02,
    **{(f"vae, batch {batch}", "tutorial"): 1 / 2.2 for batch in (64, 512)},
    **{(f"vae, batch {batch}", "pythae"): 1 / 1.5 for batch in (64, 512)},
    **{(name, "pythae"): 1 / 1.5 for name in ("beta_tc", "iwae, K = 5", "vamp", "conv")},
    ("likelihood, K = 5000", "matrix products"): 1.25,
    ("likelihood, K = 5000", "pythae"): 0.25,
    ("streamed pictures", "in memory"): 1 / 0.9,
    ("streamed array", "in memory"): 1 / 0.9,
}


@dataclass
class Figures:
    """What a benchmark found: least seconds of vaelab and of each of the others."""

    name: str
    own: float = float("inf")
    others: dict[str, float] = field(default_factory=dict)

    all: ClassVar[list[Figures]] = []


def contest(
    benchmark: Any,
    name: str,
    own: Callable[[], object],
    others: dict[str, Callable[[], object] | None],
    rounds: int,
    *,
    scale: dict[str, float] | None = None,
    clock: Callable[[], float] = time.process_time,
) -> Figures:
    """Time all in turn; the least of all rounds counts.

    Args:
        benchmark: pytest-benchmark's fixture, whose timer must be `clock`.
        name: of the benchmark.
        own: what vaelab does in a round.
        others: what the others do, by name; None where one is not installed.
        rounds: how many.
        scale: what a time of one of them is multiplied by, where it does a part of the work.
        clock: seconds of the processor; of the wall where other processes work too.
    """
    figures = Figures(name)
    Figures.all.append(figures)
    there = {other: run for other, run in others.items() if run is not None}

    def before() -> None:
        for other, run in there.items():
            start = clock()
            run()
            seconds = (clock() - start) * (scale or {}).get(other, 1.0)
            figures.others[other] = min(figures.others.get(other, seconds), seconds)

    benchmark.pedantic(own, setup=before, rounds=rounds)
    figures.own = benchmark.stats.stats.min
    benchmark.extra_info["least_seconds"] = figures.others
    benchmark.extra_info["ratios"] = {other: figures.own / seconds for other, seconds in figures.others.items()}
    return figures
