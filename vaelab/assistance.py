"""What processes other than the main one do in a run: their part of each step and of the evaluation, and no writing."""

from __future__ import annotations

from typing import Any

from vaelab.config import Experiment
from vaelab.errors import RunError, StoppedError
from vaelab.evaluation import evaluate
from vaelab.interrupts import Interrupts
from vaelab.model import VAE
from vaelab.objectives import Objective
from vaelab.processes import Processes, current
from vaelab.provenance import config_hash
from vaelab.runs import RunDirectory
from vaelab.session import trainer_of
from vaelab.types import DataSplits


def check_agreement(experiment: Experiment, processes: Processes) -> None:
    """Refuse processes that were started with different experiments.

    Raises:
        RunError: they were.
    """
    if processes.many and processes.difference({"experiment": config_hash(experiment)}):
        raise RunError("the processes were given different experiments. Start all of them with the same command.")


def check_data(data: DataSplits, processes: Processes) -> None:
    """Refuse processes that found different data.

    Raises:
        RunError: they did; on several machines each has to find the same files.
    """
    told = {key: data.provenance.get(key) for key in ("source", "sizes")}
    if processes.many and (name := processes.difference(told)):
        raise RunError(
            f"the processes found different data: their {name} differs. On each machine the same files must be found "
            "(data.root, VAELAB_DATA)."
        )


def assist(
    directory: RunDirectory,
    experiment: Experiment,
    model: VAE,
    objective: Objective[Any],
    data: DataSplits,
    *,
    previous: bool,
) -> None:
    """Train and evaluate with the main process, and stay until it has written its last file.

    Args:
        directory: of the run, which the main process writes.
        experiment: of the run.
        model: as the seed made it, on this process's device.
        objective: likewise.
        data: on the same device.
        previous: as in `vaelab.experiment.resume`.

    Raises:
        StoppedError: as in the main process.
        RunError: the run's directory is not seen from here.
    """
    processes = current()
    if not directory.config.is_file():
        raise RunError(
            f"{directory.path}: process {processes.rank} does not see this directory, which the main process has made. "
            "Choose an --out that all machines share."
        )
    trainer = trainer_of(directory, experiment, model, objective, data)
    with Interrupts() as interrupts:
        try:
            trainer.restore(previous=previous)
            with interrupts.asking(trainer.stop):
                trainer.train()
            trainer.finish()
            evaluate(model, data, experiment.evaluation, processes=processes)
            processes.wait()
        except KeyboardInterrupt as error:
            raise StoppedError(str(error) or "stopped") from error
