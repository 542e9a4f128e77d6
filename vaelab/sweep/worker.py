"""A worker: takes runs of a sweep until none is left."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from vaelab.config import parse_experiment
from vaelab.errors import ConfigError, NonFiniteError, RunError
from vaelab.experiment import resume
from vaelab.runs import RunDirectory
from vaelab.sweep.check import check_sweep
from vaelab.sweep.config import Sweep, load_sweep, parse_sweep
from vaelab.sweep.proposals import parameters_of
from vaelab.sweep.results import Results, collect
from vaelab.sweep.study import Job, Outcome, Study, create_folder, open_folder
from vaelab.sweep.watch import Watch
from vaelab.training import StoppedError

_POLL = 1.0
"""Seconds between two looks for work while others have all of it."""


def run_sweep(
    sweep: Sweep | str | Path | Mapping[str, Any],
    out: str | Path = "sweeps",
    *,
    device: str | None = None,
    console: Console | None = None,
) -> Results:
    """Work on a sweep until it is finished: begin it, or join it where its folder is there.

    Any number of processes may do so at the same time, on any machines that see the folder.

    Args:
        sweep: validated, or the path of a JSON file, or its content.
        out: folder of the sweeps; this one gets a folder of its name in it.
        device: in place of the experiment's.
        console: where finished trials are shown; silent where None.

    Raises:
        ConfigError: something cannot run, or the folder holds another sweep. Nothing is written before.
        StoppedError: a signal stopped the run of this worker; a checkpoint was written.
    """
    sweep, source = _sweep(sweep)
    folder = Path(out) / sweep.name
    found = open_folder(sweep, folder)
    if found is None:
        found = create_folder(sweep, check_sweep(sweep, source), folder)
    worker = _Worker(Study(found, folder), device, console or Console(quiet=True))
    worker.work()
    return worker.finish()


def sweep_status(sweep: Sweep | str | Path | Mapping[str, Any], out: str | Path = "sweeps") -> Results:
    """A sweep so far; runs nothing.

    Raises:
        RunError: it has not begun.
    """
    sweep, source = _sweep(sweep)
    folder = Path(out) / sweep.name
    found = open_folder(sweep, folder)
    if found is None:
        raise RunError(f"{folder}: this sweep has not begun. Begin it with `python -m vaelab sweep {source}`.")
    return collect(Study(found, folder), importance=True)


def _sweep(sweep: Sweep | str | Path | Mapping[str, Any]) -> tuple[Sweep, str]:
    if isinstance(sweep, Sweep):
        return sweep, sweep.name
    if isinstance(sweep, Mapping):
        return parse_sweep(sweep), "sweep"
    return load_sweep(sweep), str(sweep)


class _Worker:
    def __init__(self, study: Study, device: str | None, console: Console) -> None:
        self.study = study
        self.sweep = study.sweep
        self.device = device
        self.console = console

    def work(self) -> None:
        """Take runs until nothing is left, waiting for what others have: they may be killed."""
        waiting = False
        while True:
            job = self.study.next_job()
            if job is None:
                if self.study.finished:
                    return
                if not waiting:
                    self._say("every open run is in the hands of another worker; waiting")
                waiting = True
                time.sleep(_POLL)
                continue
            waiting = False
            try:
                outcome = self._do(job)
                if outcome is not None:
                    self.study.record(job.trial, job.seed, outcome)
            finally:
                job.claim.release()
            if outcome is not None:
                self._show(job, outcome)

    def finish(self) -> Results:
        """Write the results, now with importances."""
        with self.study.alone():
            self.study.tidy()
            results = collect(self.study, importance=True)
            results.write()
        return results

    def _do(self, job: Job) -> Outcome | None:
        """Do a run, or go on with what is there of it. None where another worker took it over."""
        try:
            directory = self._directory(job)
        except ConfigError as error:
            return {"error": str(error)}
        outcome: Outcome = {"run": str(directory.path.relative_to(self.study.folder))}
        watch = Watch(self.study, job)
        try:
            if directory.read_manifest().get("status") != "finished":
                resume(directory.path, device=self.device, trackers=(watch,))
        except StoppedError as error:
            if watch.pruned:
                return {**outcome, "pruned": True, "value": watch.value}
            if job.claim.lost:
                return None
            raise StoppedError(
                f"{directory.path}: {error.__cause__ or error}. The same command goes on with the sweep, here or elsewhere."
            ) from error
        except (ConfigError, NonFiniteError, ValueError, torch.OutOfMemoryError) as error:
            # what this configuration does; other errors are the machine's or a defect, and no outcome of the trial.
            # ValueError: torch's optimisers refuse their arguments by it
            return {**outcome, "error": f"{type(error).__name__}: {error}"}
        value = self._value(directory)
        if not math.isfinite(value):
            return {**outcome, "error": f"{self.sweep.metric} is {value}"}
        return {**outcome, "value": value}

    def _directory(self, job: Job) -> RunDirectory:
        """The directory of a run; one that was begun before, where there is any."""
        sweep, root = self.sweep, self.study.folder / "runs"
        name = f"{sweep.name}-{job.trial.number:04d}-seed-{job.seed}"
        begun = sorted(path.parent for path in (root / name).glob("*/config.json"))
        if begun:
            return RunDirectory(begun[-1])
        content = {**sweep.content(parameters_of(sweep, job.trial)), "name": name, "seed": job.seed}
        return RunDirectory.create(root, parse_experiment(content, f"trial {job.trial.number}"))

    def _value(self, directory: RunDirectory) -> float:
        """The metric at the step whose weights the run kept: the last, or the best where it stopped early."""
        step = directory.read_manifest()["weights_of_step"]
        lines = [line for line in directory.history() if line["split"] == "validation" and line["step"] == step]
        if not lines or self.sweep.metric not in lines[-1]:
            raise RunError(
                f"{directory.metrics}: no validation value '{self.sweep.metric}' of step {step}. Remove {directory.path}, "
                "and the run is done again."
            )
        return float(lines[-1][self.sweep.metric])

    def _show(self, job: Job, outcome: Outcome) -> None:
        """A line for the run, and one for the trial where that is finished; sweep.json is written anew."""
        with self.study.alone():
            results = collect(self.study)
            results.write()
        [trial] = [trial for trial in results.trials if trial.number == job.trial.number]
        if len(self.sweep.seeds) > 1 and "value" in outcome and not outcome.get("pruned"):
            self._say(f"  trial {trial.number} seed {job.seed}  {self.sweep.metric} {outcome['value']:.4f}")
        if trial.status != "running":
            done = len(results.trials) - results.counts["running"]
            self._say(f"{trial.text(self.sweep.metric)}  ({done} of {self.sweep.limit})")
            if trial.error is not None:
                self._say(f"  {trial.error}")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
