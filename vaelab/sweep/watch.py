"""Looking over a run's shoulder while it trains."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from vaelab.config import parse_experiment
from vaelab.reading import read_json
from vaelab.runs import RunDirectory
from vaelab.sweep.study import Job, Study
from vaelab.training import StoppedError


class Watch(Console):
    """The console of a run in a sweep: prints nothing, and looks at the run whenever it is told something.

    Training tells its console of each epoch and of each validation, in its own thread and after the line stands in
    `metrics.jsonl`. So a decision follows from the lines alone and never from how fast the process is, and a run that
    was killed and gone on with reports the same values again.
    """

    def __init__(self, study: Study, job: Job, directory: RunDirectory) -> None:
        # no terminal: a bar would be drawn by a thread of its own, through this console
        super().__init__(quiet=True, force_terminal=False)
        self.study = study
        self.job = job
        self.directory = directory
        self.pruned = False
        self.value: float | None = None
        self._seen = 0
        # the first seed decides for all, so that trials are compared under the same draws
        self._judged = study.sweep.pruning is not None and job.seed == study.sweep.seeds[0]
        training = parse_experiment(read_json(directory.config)).training
        self._epochs, self._steps = training.epochs, training.steps

    def print(self, *objects: Any, **settings: Any) -> None:
        """Look at the run in place of printing.

        Raises:
            StoppedError: it should stop; `pruned` says whether for its values.
        """
        if self.job.claim.lost:
            raise StoppedError("another worker took this run over, as this one gave no sign of life for too long")
        if not self._judged:
            return
        metric = self.study.sweep.metric
        lines = [line for line in self.directory.history() if line["split"] == "validation" and metric in line]
        if len(lines) <= self._seen:
            return
        for number, line in enumerate(lines[self._seen :], start=self._seen + 1):
            self.study.report(self.job.trial, number, line[metric])
        self._seen = len(lines)
        self.value = lines[-1][metric]
        # a run at its end is complete, and its value is worth more than a decision
        if not self._at_end(lines[-1]) and self.study.should_stop(self.job.trial):
            self.pruned = True
            raise StoppedError(f"pruned after validation {len(lines)}")

    def _at_end(self, line: dict[str, Any]) -> bool:
        return bool(line["epoch"] >= self._epochs if self._epochs is not None else line["step"] >= (self._steps or 0))
