"""Making the report of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vaelab.errors import VaelabError
from vaelab.files import write_json
from vaelab.model import VAE
from vaelab.report.latent_map import latent_map
from vaelab.report.page import write_report
from vaelab.runs import RunDirectory, find_run, load_run
from vaelab.types import DataSplits


def report(runs: Sequence[str | Path], out: Path | None = None, docs: str = "", device: str = "auto") -> Path:
    """Write the page of one run, or of several side by side, from what their directories hold.

    A finished run that has no map of its latents gets one, where its weights and data are there.

    Args:
        runs: directories, or names of experiments for their newest run.
        out: the file; by default report.html in the run, or in this folder for several runs.
        docs: address of the built documentation, to which components are linked.
        device: where latents are inferred.

    Raises:
        RunError: there is no such run, or its files are damaged.
        ConfigError: a run is named twice, or `docs` is no address.
    """
    directories = [RunDirectory(find_run(run)) for run in runs]
    for directory in directories:
        if directory.weights.exists() and not directory.latent_map.exists():
            _map_afterwards(directory, device)
    single = directories[0].report if len(directories) == 1 else Path("report.html")
    return write_report(directories, out or single, docs)


def map_latents(directory: RunDirectory, model: VAE, data: DataSplits, seed: int, batch_size: int) -> None:
    """Write latent_map.json."""
    write_json(directory.latent_map, latent_map(model, data, seed, batch_size))


def _map_afterwards(directory: RunDirectory, device: str) -> None:
    try:
        run = load_run(directory.path, device)
        evaluation = run.experiment.evaluation
        map_latents(directory, run.model, run.data, evaluation.seed, evaluation.batch_size)
    except VaelabError:  # the data or a plugin are not here; the page says that there is no map
        return
