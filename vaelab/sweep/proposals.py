"""Which configuration comes next."""

from __future__ import annotations

import json
import random
from typing import Literal

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from vaelab.sweep.config import Parameters, Sweep

_ATTEMPTS = 10
"""Draws of the method itself before a configuration that was tried gives way to one drawn at random."""


def propose(sweep: Sweep, direction: Literal["minimize", "maximize"], trials: list[FrozenTrial]) -> Parameters:
    """The next configuration; never one that was tried.

    It follows from the sweep's seed and the trials so far, whichever worker asks: with `grid` and `random` from their
    number alone. TPE sees the running trials as well and takes them for bad ones, so that workers do not all ask for the
    same place (the constant liar).

    Args:
        sweep: with a configuration that was not tried.
        direction: of the metric.
        trials: finished and running.
    """
    number = len(trials)
    if sweep.method == "grid":
        return _of_grid(sweep, number)
    tried = {_key(parameters_of(sweep, trial)) for trial in trials}
    # proposed in a copy: what is shared is written at once and whole, so that no kill leaves half a trial
    copy = optuna.create_study(direction=direction, sampler=RandomSampler())
    if sweep.method == "tpe":
        copy.add_trials(trials)
    distributions = {path: dimension.distribution() for path, dimension in sweep.space.items()}
    for attempt in range(_ATTEMPTS):
        copy.sampler = _sampler(sweep, _seed(sweep, number, attempt))
        drawn = copy.ask(distributions).params
        parameters = {path: dimension.from_optuna(drawn[path]) for path, dimension in sweep.space.items()}
        if sweep.size is None or _key(parameters) not in tried:
            return parameters
    source = random.Random(_seed(sweep, number, _ATTEMPTS))
    while True:
        parameters = {path: d.value(source.randrange(d.number or 1)) for path, d in sweep.space.items()}
        if _key(parameters) not in tried:
            return parameters


def parameters_of(sweep: Sweep, trial: FrozenTrial) -> Parameters:
    """A trial's configuration."""
    return {path: dimension.from_optuna(trial.params[path]) for path, dimension in sweep.space.items()}


def _of_grid(sweep: Sweep, position: int) -> Parameters:
    """The configurations in the order of nested loops, the last dimension fastest."""
    parameters: Parameters = {}
    for path, dimension in reversed(sweep.space.items()):
        assert dimension.number is not None
        position, place = divmod(position, dimension.number)
        parameters[path] = dimension.value(place)
    return {path: parameters[path] for path in sweep.space}


def _sampler(sweep: Sweep, seed: int) -> BaseSampler:
    return RandomSampler(seed) if sweep.method == "random" else TPESampler(seed=seed, constant_liar=True)


def _seed(sweep: Sweep, number: int, attempt: int) -> int:
    return int(np.random.SeedSequence([sweep.seed, number, attempt]).generate_state(1)[0])


def _key(parameters: Parameters) -> str:
    return json.dumps(parameters, sort_keys=True)
