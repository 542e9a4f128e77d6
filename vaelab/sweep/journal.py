"""Optuna's journal of a sweep, read as a file that may be damaged."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from vaelab.errors import RunError
from vaelab.sweep.config import Sweep

#: What replaying a line may raise that is not what was written: Optuna checks nothing before it.
_DAMAGE = (ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError, RecursionError, OverflowError)
_REMEDY = "Restore the file from a copy, or remove the sweep's folder and begin again."
_TYPES: dict[str, type | tuple[type, ...]] = {"value": (int, float), "error": str, "run": str, "pruned": bool}


class Journal(JournalStorage):
    """The storage of a sweep: lines of JSON, never a pickle."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(JournalFileBackend(str(path)))

    def _sync_with_backend(self) -> None:
        try:
            super()._sync_with_backend()
        except _DAMAGE as error:
            line = self._replay_result.log_number_read
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise RunError(f"{self._path}: damaged at or after line {max(1, line)} ({reason}). {_REMEDY}") from error

    def require_direction(self, direction: str) -> None:
        """Refuse a study in another direction than the sweep's.

        Raises:
            RunError: naming the journal.
        """
        for study in self.get_all_studies():
            if [found.name.lower() for found in study.directions] != [direction]:
                raise RunError(f"{self._path}: its study should {direction} one value. {_REMEDY}")


def require_sound(sweep: Sweep, trial: FrozenTrial, path: Path) -> None:
    """Refuse a trial that is none of the sweep's.

    Raises:
        RunError: naming the journal and the trial.
    """
    where = f"{path}: trial {trial.number}"
    try:
        fits = trial.params.keys() == sweep.space.keys() and all(
            sweep.space[name].distribution()._contains(trial.distributions[name].to_internal_repr(value))
            for name, value in trial.params.items()
        )
    except _DAMAGE:
        fits = False
    if not fits:
        raise RunError(f"{where} is no configuration of this sweep. {_REMEDY}")
    for key, outcome in trial.user_attrs.items():
        if not _is_outcome(outcome):
            raise RunError(f"{where}: the outcome of {key[:60]} is damaged. {_REMEDY}")
    if trial.state == TrialState.COMPLETE and not (isinstance(trial.value, float) and math.isfinite(trial.value)):
        raise RunError(f"{where} is complete and has no value. {_REMEDY}")


def _is_outcome(outcome: Any) -> bool:
    if not isinstance(outcome, dict) or not outcome.keys() & {"value", "error", "pruned"}:
        return False
    return all(isinstance(outcome[key], kind) for key, kind in _TYPES.items() if outcome.get(key) is not None)
