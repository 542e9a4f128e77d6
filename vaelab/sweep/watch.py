"""Looking over a run's shoulder while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaelab.runs import RunDirectory
from vaelab.sweep.study import Job, Study
from vaelab.trackers import RunInfo, Tracker
from vaelab.training import StoppedError


class Watch(Tracker[Any]):
    """Tells the study of each validation of a run, and stops the run where the study says so.

    What it does follows from the lines of metrics.jsonl alone and never from how fast the process is, and a run that was
    killed and gone on with reports the same values again.
    """

    def __init__(self, study: Study, job: Job) -> None:
        self.study = study
        self.job = job
        self.pruned = False
        self.value: float | None = None
        # the first seed decides for all, so that trials are compared under the same draws
        self._judged = study.sweep.pruning is not None and job.seed == study.sweep.seeds[0]
        self._seen = 0

    def start(self, run: RunInfo) -> None:
        training = run.config["training"]
        self._epochs, self._steps = training["epochs"], training["steps"]
        self.directory = RunDirectory(run.directory)

    def log(self, line: Mapping[str, Any]) -> None:
        """Look at a line of the run.

        Raises:
            StoppedError: the run should stop; `pruned` says whether for its values.
        """
        if self.job.claim.lost:
            raise StoppedError("another worker took this run over, as this one gave no sign of life for too long")
        if not self._told(line):
            return
        # those before a kill too, which this process was not told of
        lines = [told for told in self.directory.history() if self._told(told)]
        for number, told in enumerate(lines[self._seen :], start=self._seen + 1):
            self.study.report(self.job.trial, number, told[self.study.sweep.metric])
        self._seen = len(lines)
        self.value = lines[-1][self.study.sweep.metric]
        # a run at its end is complete, and its value is worth more than a decision
        if not self._at_end(line) and self.study.should_stop(self.job.trial):
            self.pruned = True
            raise StoppedError(f"pruned after validation {self._seen}")

    def figure(self, name: str, path: Path) -> None: ...

    def finish(self, summary: Mapping[str, float]) -> None: ...

    def close(self, *, failed: bool) -> None: ...

    def _told(self, line: Mapping[str, Any]) -> bool:
        return self._judged and line["split"] == "validation" and self.study.sweep.metric in line

    def _at_end(self, line: Mapping[str, Any]) -> bool:
        return bool(line["epoch"] >= self._epochs if self._epochs is not None else line["step"] >= (self._steps or 0))
