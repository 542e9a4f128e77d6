"""The shared state of a sweep: its folder, Optuna's journal, and what is to be done next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from vaelab.errors import ConfigError, RunError
from vaelab.files import write_json
from vaelab.metrics.base import Better
from vaelab.reading import read_json
from vaelab.sweep.claims import Claim, alone
from vaelab.sweep.config import Sweep
from vaelab.sweep.journal import Journal, require_sound
from vaelab.sweep.proposals import propose

Outcome = dict[str, Any]
"""What a run came to: `value`, `pruned` or `error`, and the run's directory."""


@dataclass
class Job:
    """One run to be done: a trial with a seed, claimed by this process."""

    trial: FrozenTrial
    seed: int
    claim: Claim


class Study:
    """The state that all workers of a sweep share.

    A trial is in the journal from the moment that its configuration is known. It is finished when each seed has an
    outcome, or when its first one was pruned or any one failed.

    Args:
        sweep: with `better` known.
        folder: of the sweep.
    """

    def __init__(self, sweep: Sweep, folder: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        assert sweep.better is not None
        self.sweep = sweep
        self.folder = folder
        self.direction: Literal["minimize", "maximize"] = "minimize" if sweep.better == "lower" else "maximize"
        self.claims = folder / "claims"
        self._journal = folder / "journal.log"
        self._storage = Journal(self._journal)
        self._storage.require_direction(self.direction)
        with self.alone():
            self._study = optuna.create_study(
                storage=self._storage, study_name=sweep.name, direction=self.direction, load_if_exists=True
            )
        self._pruner = _pruner(sweep)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other workers from changing the state."""
        with alone(self.folder / "sweep.lock"):
            yield

    def trials(self) -> list[FrozenTrial]:
        """All trials so far.

        Raises:
            RunError: the journal holds one that is none of the sweep's.
        """
        trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            require_sound(self.sweep, trial, self._journal)
        return trials

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        trials = self.trials()
        return len(trials) >= self.sweep.limit and all(trial.state.is_finished() for trial in trials)

    def next_job(self) -> Job | None:
        """Claim a run: one that is open or was left by a dead worker, else the first of a new trial.

        None where all that is open is in the hands of others, or nothing is left.
        """
        with self.alone():
            trials = self.trials()
            for trial in trials:
                if trial.state == TrialState.RUNNING and not self._settle(trial):
                    for seed in self._open(trial):
                        claim = self._claim(trial, seed)
                        if claim is not None:
                            return Job(trial, seed, claim)
            trials = self.trials()
            if len(trials) >= self.sweep.limit:
                return None
            parameters = propose(self.sweep, self.direction, trials)
            space = self.sweep.space
            self._study.add_trial(
                create_trial(
                    state=TrialState.RUNNING,
                    params={path: space[path].to_optuna(value) for path, value in parameters.items()},
                    distributions={path: dimension.distribution() for path, dimension in space.items()},
                )
            )
            trial = self.trials()[-1]
            claim = self._claim(trial, self.sweep.seeds[0])
            return Job(trial, self.sweep.seeds[0], claim) if claim else None

    def record(self, trial: FrozenTrial, seed: int, outcome: Outcome) -> None:
        """Write a run's outcome, and finish the trial where it was the last."""
        with self.alone():
            trial = self.trials()[trial.number]
            # another seed may have failed in the meantime, and with it the trial
            if trial.state == TrialState.RUNNING:
                self._storage.set_trial_user_attr(trial._trial_id, f"seed {seed}", outcome)
                self._settle(self.trials()[trial.number])

    def outcomes(self, trial: FrozenTrial) -> dict[int, Outcome]:
        """What is known of a trial's seeds."""
        attributes = trial.user_attrs
        return {seed: attributes[f"seed {seed}"] for seed in self.sweep.seeds if f"seed {seed}" in attributes}

    def report(self, trial: FrozenTrial, validation: int, value: float) -> None:
        """Note the value of a trial's validation so numbered, from 1."""
        self._storage.set_trial_intermediate_value(trial._trial_id, validation, value)

    def should_stop(self, trial: FrozenTrial) -> bool:
        """Whether the pruner stops a trial for what was reported."""
        assert self._pruner is not None
        return self._pruner.prune(self._study, self._storage.get_trial(trial._trial_id))

    def tidy(self) -> None:
        """Remove the claims of dead workers on runs that are done."""
        for path in self.claims.glob("*.claim"):
            if (claim := Claim.take(path)) is not None:
                claim.release()

    def importance(self) -> dict[str, float]:
        """Share of the variance that each path explains (fANOVA, Hutter et al. 2014), of ten finished trials or more."""
        complete = [trial for trial in self.trials() if trial.state == TrialState.COMPLETE]
        varied = [path for path in self.sweep.space if len({json.dumps(trial.params[path]) for trial in complete}) > 1]
        values = {trial.value for trial in complete}
        if len(complete) < 10 or len(varied) < 2 or len(values) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.sweep.seed)
        return optuna.importance.get_param_importances(self._study, evaluator=evaluator, params=varied)

    def _claim(self, trial: FrozenTrial, seed: int) -> Claim | None:
        claim = Claim.take(self.claims / f"{trial.number:04d}-seed-{seed}.claim")
        if claim is not None:
            claim.keep()
        return claim

    def _open(self, trial: FrozenTrial) -> list[int]:
        done = self.outcomes(trial)
        seeds = self.sweep.seeds
        # the first seed decides whether the others are run at all
        if self.sweep.pruning is not None and seeds[0] not in done:
            return [seeds[0]]
        return [seed for seed in seeds if seed not in done]

    def _settle(self, trial: FrozenTrial) -> bool:
        """Finish a trial whose outcomes say so."""
        outcomes = self.outcomes(trial)
        if any("error" in outcome for outcome in outcomes.values()):
            self._study.tell(trial.number, state=TrialState.FAIL)
        elif any(outcome.get("pruned") for outcome in outcomes.values()):
            self._study.tell(trial.number, state=TrialState.PRUNED)
        elif len(outcomes) == len(self.sweep.seeds):
            values = [outcome["value"] for outcome in outcomes.values()]
            self._study.tell(trial.number, sum(values) / len(values))
        else:
            return False
        return True


def _pruner(sweep: Sweep) -> optuna.pruners.BasePruner | None:
    pruning = sweep.pruning
    if pruning is None:
        return None
    if pruning.kind == "median":
        # validations count from 1
        return optuna.pruners.MedianPruner(pruning.startup_trials, pruning.warmup + 1)
    return optuna.pruners.SuccessiveHalvingPruner(pruning.warmup + 1, pruning.reduction_factor)


def open_folder(sweep: Sweep, folder: Path) -> Sweep | None:
    """The sweep that a folder holds, with `better` known, or None where it is new.

    Raises:
        ConfigError: the folder holds another sweep.
    """
    file = folder / "config.json"
    if not file.exists():
        return None
    content = read_json(file)
    if isinstance(content, dict) and content.get("better") not in ("lower", "higher"):
        raise RunError(
            f"{file}: $.better: should be lower or higher. Restore the file from a copy, or remove {folder}."
        )
    wanted = sweep.model_dump(mode="json", by_alias=True)
    if not isinstance(content, dict):
        raise RunError(f"{file}: not a sweep. Remove {folder}, or choose --out.")
    found = content.get("better")
    # more trials may be asked for later; `better` is the one that was found
    differ = [
        key for key in wanted if key not in ("trials", "better", "description") and wanted[key] != content.get(key)
    ]
    if sweep.better not in (None, found):
        differ.append("better")
    if differ:
        raise ConfigError(
            f"{folder} holds another sweep of this name; there differ: {', '.join(differ)}. Give this one another 'name', "
            "or another folder by --out."
        )
    return sweep.model_copy(update={"better": found})


def create_folder(sweep: Sweep, better: Better, folder: Path) -> Sweep:
    """Make a sweep's folder, or join it where another worker was faster."""
    with alone(folder / "sweep.lock"):
        found = open_folder(sweep, folder)
        if found is not None:
            return found
        sweep = sweep.model_copy(update={"better": better})
        write_json(folder / "config.json", sweep.model_dump(mode="json", by_alias=True))
    return sweep
