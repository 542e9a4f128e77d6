"""What a sweep came to: as a file, as a table, and its best configuration as an experiment."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vaelab.config import parse_experiment
from vaelab.evaluation.tables import written
from vaelab.files import write_json
from vaelab.metrics import Value
from vaelab.sweep.claims import holders
from vaelab.sweep.config import Parameters, Sweep
from vaelab.sweep.proposals import parameters_of
from vaelab.sweep.study import Outcome, Study

if TYPE_CHECKING:
    from rich.table import Table

Status = Literal["complete", "running", "pruned", "failed"]
_STATUS: dict[str, Status] = {"COMPLETE": "complete", "RUNNING": "running", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(frozen=True)
class TrialResult:
    """One configuration.

    Attributes:
        number: from 0, in the order in which configurations were proposed.
        status: `complete`, `running`, `pruned` or `failed`.
        parameters: its values of the space.
        value: mean of the metric over the seeds; None where it is not complete.
        stderr: standard error of that mean, $s / \\sqrt{n}$ over the n seeds; None for one seed.
        seeds: what each seed came to, with the directory of its run.
        error: why it failed, or None.
    """

    number: int
    status: Status
    parameters: Parameters
    value: float | None
    stderr: float | None
    seeds: dict[int, Outcome]
    error: str | None

    def text(self, metric: str) -> str:
        """On one line."""
        names = _short(list(self.parameters))
        settings = "  ".join(f"{names[path]}={_brief(value)}" for path, value in self.parameters.items())
        return f"trial {self.number}  {self.status}  {metric} {self.measured()}  {settings}"

    def measured(self) -> str:
        """Mean ± standard error, with the digits that the error leaves."""
        return "" if self.value is None else written(Value(self.value, self.stderr, unit=""))


@dataclass(frozen=True)
class Results:
    """A sweep so far.

    Attributes:
        sweep: what it varies.
        folder: where its files are.
        trials: the complete ones first, the best of them first of all.
        workers: the runs that somebody works on, and who.
        importance: share of the variance of the metric that each path explains; empty for fewer than ten trials.
    """

    sweep: Sweep
    folder: Path
    trials: list[TrialResult]
    workers: dict[str, dict[str, Any]]
    importance: dict[str, float]

    @property
    def best(self) -> TrialResult | None:
        """The best complete trial."""
        return self.trials[0] if self.trials and self.trials[0].status == "complete" else None

    @property
    def counts(self) -> dict[Status, int]:
        """How many trials are in each status."""
        return {status: sum(trial.status == status for trial in self.trials) for status in _STATUS.values()}

    def to_json(self) -> dict[str, Any]:
        """The content of sweep.json."""
        sweep = self.sweep
        best = self.best
        return {
            "name": sweep.name,
            "metric": sweep.metric,
            "better": sweep.better,
            "method": sweep.method,
            "seeds": list(sweep.seeds),
            "limit": sweep.limit,
            "counts": self.counts,
            "best": None if best is None else best.number,
            "importance": self.importance,
            "workers": self.workers,
            "trials": [asdict(trial) for trial in self.trials],
        }

    def table(self) -> Table:
        """The trials, the best first."""
        from rich.markup import escape
        from rich.table import Table

        sweep = self.sweep
        counts = ", ".join(f"{number} {status}" for status, number in self.counts.items() if number)
        arrow = "↓" if sweep.better == "lower" else "↑"
        seeds = f"mean ± standard error of {len(sweep.seeds)} seeds" if len(sweep.seeds) > 1 else "one seed"
        rows = Table(
            title=f"Sweep {escape(sweep.name)}: {counts or 'no trial yet'}, of {sweep.limit}",
            caption=f"{escape(sweep.metric)} of the validation data, {seeds}",
            title_justify="left",
            caption_justify="left",
        )
        rows.add_column("trial", justify="right")
        rows.add_column(f"{escape(sweep.metric)} {arrow}", justify="right", no_wrap=True)
        for name in _short(list(sweep.space)).values():
            rows.add_column(escape(name))
        rows.add_column("status")
        for trial in self.trials:
            settings = [escape(_brief(value)) for value in trial.parameters.values()]
            status = trial.status if trial.error is None else f"failed: {trial.error.splitlines()[0][:100]}"
            rows.add_row(str(trial.number), trial.measured(), *settings, escape(status))
        return rows

    def write(self) -> None:
        """Write sweep.json, and the best configuration as best.json, an experiment with the first of the seeds."""
        write_json(self.folder / "sweep.json", self.to_json())
        best = self.best
        if best is None or best.value is None:
            return
        sweep = self.sweep
        seeds = ", ".join(map(str, sweep.seeds))
        measured = best.measured().replace("±", "+-")  # JSON is written in ASCII
        content = {
            **sweep.content(best.parameters),
            "name": f"{sweep.name}-best",
            "description": f"Best of {self.counts['complete']} configurations of the sweep '{sweep.name}': trial "
            f"{best.number}, validation {sweep.metric} {measured} (seeds {seeds}).",
            "seed": sweep.seeds[0],
        }
        parse_experiment(content, "best.json")
        write_json(self.folder / "best.json", content)


def _short(paths: list[str]) -> dict[str, str]:
    """For each path the shortest end that no other one has, such as `lr`; never a bare position in a list."""
    names = {}
    for path in paths:
        keys = path.split(".")
        for start in range(len(keys) - 1, -1, -1):
            name = ".".join(keys[start:])
            if not keys[start].isdecimal() and sum(f".{other}".endswith(f".{name}") for other in paths) == 1:
                break
        names[path] = name
    return names


def _brief(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def collect(study: Study, *, importance: bool = False) -> Results:
    """The results so far.

    Args:
        study: of the sweep.
        importance: whether to fit the importance of each path, which takes a moment.
    """
    trials = []
    for trial in study.trials():
        outcomes = study.outcomes(trial)
        status = _STATUS[trial.state.name]
        values = [outcome["value"] for outcome in outcomes.values() if "value" in outcome]
        stderr = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
        errors = [outcome["error"] for outcome in outcomes.values() if "error" in outcome]
        complete = status == "complete"
        trials.append(
            TrialResult(
                trial.number,
                status,
                parameters_of(study.sweep, trial),
                trial.value if complete else None,
                stderr if complete else None,
                outcomes,
                errors[0] if errors else None,
            )
        )
    sign = 1 if study.sweep.better == "lower" else -1
    order = list(_STATUS.values())
    trials.sort(key=lambda trial: (order.index(trial.status), sign * (trial.value or 0.0), trial.number))
    return Results(study.sweep, study.folder, trials, holders(study.claims), study.importance() if importance else {})
