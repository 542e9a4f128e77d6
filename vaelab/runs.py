"""Runs: finding and loading them."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from vaelab.build import build_model
from vaelab.config import DEVICE, Experiment, parse_experiment
from vaelab.datasets import Dataset
from vaelab.errors import RunError
from vaelab.files import sha256
from vaelab.model import VAE
from vaelab.processes import device_of
from vaelab.registry import DATASETS
from vaelab.run_directory import RunDirectory
from vaelab.training.checkpoint import load_weights
from vaelab.types import DataSpec, DataSplits
from vaelab.wording import brief_json

__all__ = ["Run", "RunDirectory", "find_run", "load_data", "load_run", "resolve_device"]


@dataclass
class Run:
    """A finished or stopped run, loaded.

    Attributes:
        directory: its files.
        experiment: its resolved config.
        device: where `model` is.
    """

    directory: RunDirectory
    experiment: Experiment
    device: torch.device

    @property
    def path(self) -> Path:
        """The run's directory."""
        return self.directory.path

    @property
    def spec(self) -> DataSpec:
        """What the model knows of its data: from the manifest, so that the model can be used where the data are not.

        Raises:
            RunError: the manifest does not say it rightly.
        """
        said = self.directory.read_manifest().get("spec")
        if said is None:
            dataset: Dataset[Any] = DATASETS.build(self.experiment.data)
            return dataset.spec
        try:
            return DataSpec.from_json(said)
        except (TypeError, KeyError) as error:
            raise RunError(f"{self.directory.manifest}: 'spec' is damaged ({error})") from error

    @cached_property
    def model(self) -> VAE:
        """The model with the weights that were evaluated, in evaluation mode."""
        model = build_model(self.experiment.model, self.spec)
        if not self.directory.weights.exists():
            raise RunError(
                f"{self.path}: training has not finished, so there are no weights. Go on with "
                f"`{self.directory.way_on}`."
            )
        recorded = self.directory.read_manifest().get("weights_sha256")
        if recorded is not None and sha256(self.directory.weights) != recorded:
            raise RunError(
                f"{self.directory.weights} is damaged: its checksum is not the one in the manifest. Write it again from "
                f"the last checkpoint with `{self.directory.way_on}`."
            )
        load_weights(model, self.directory.weights)
        return model.to(self.device).eval()

    @cached_property
    def data(self) -> DataSplits:
        """The data that the run was trained on, on the model's device.

        Raises:
            RunError: other data are found now.
        """
        return load_data(self.experiment, self.device, self.directory.read_manifest().get("data"))

    @property
    def evaluation(self) -> dict[str, Any]:
        """The content of evaluation.json.

        Raises:
            RunError: the run was not evaluated.
        """
        found = self.directory.read_evaluation()
        if found is None:
            raise RunError(f"{self.path}: not evaluated yet. Run `python -m vaelab evaluate {self.path}`.")
        return found

    @property
    def history(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return self.directory.history()

    def encode(self, x: torch.Tensor, *, mean: bool = False) -> tuple[torch.Tensor, ...]:
        """See `vaelab.model.VAE.encode`."""
        return self.model.encode(x.to(self.device), mean=mean)

    def decode(self, zs: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
        """See `vaelab.model.VAE.decode`."""
        return self.model.decode(zs)

    def sample(self, number: int, temperature: float = 1.0) -> torch.Tensor:
        """See `vaelab.model.VAE.sample`."""
        return self.model.sample(number, temperature)


def load_data(experiment: Experiment, device: torch.device, expected: Mapping[str, Any] | None = None) -> DataSplits:
    """An experiment's data, on a device.

    Args:
        experiment: whose data.
        device: where they go.
        expected: the provenance that they must have, where a run is gone on with.

    Raises:
        RunError: they are not the expected ones: another source, other files or another split.
    """
    dataset: Dataset[Any] = DATASETS.build(experiment.data)
    data = dataset.load()
    for key in ("source", "sizes", "files") if expected else ():
        before, now = (provenance.get(key) for provenance in (expected or {}, data.provenance))
        if json.dumps(before, sort_keys=True) != json.dumps(now, sort_keys=True):
            raise RunError(
                f"the data found now are not those that the run was trained on: its {key} was {_shown(before)} and is "
                f"{_shown(now)}. Bring the data back (data.root, VAELAB_DATA)."
            )
    validation = data.validation.to(device) if data.validation is not None else None
    return DataSplits(data.train.to(device), validation, data.test.to(device), data.provenance)


def resolve_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one.

    Raises:
        RunError: the device is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if not re.fullmatch(DEVICE, name):
        raise RunError(f"there is no device '{name[:60]}'. Choose --device cpu, cuda, cuda:1, mps or auto.")
    name = device_of(name)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"device '{name}' cannot be used ({reason}). Choose --device cpu.") from error
    return device


def find_run(run: str | Path, root: Path = Path("runs")) -> Path:
    """A run's directory from its path, or the newest run of a name under `root`.

    Raises:
        RunError: there is none.
    """
    with suppress(OSError, ValueError):  # a name that no file can have is that of no run
        for candidate in (Path(run), root / run):
            if (candidate / "config.json").is_file():
                return candidate
            runs = sorted(path.parent for path in candidate.glob("*/config.json")) if candidate.is_dir() else []
            if runs:
                return runs[-1]
    known = sorted({str(path.parent.parent.relative_to(root)) for path in root.glob("*/*/config.json")})
    near = difflib.get_close_matches(str(run), known, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    hint += f" Under {root} there are runs of: {', '.join(known)}." if known else f" Under {root} there are no runs."
    raise RunError(f"'{run}' is no run: no config.json there.{hint} Give the directory of a run.")


def load_run(path: str | Path, device: str = "auto") -> Run:
    """Load a run by its directory, or the newest run of a name under `runs/`.

    Args:
        path: such as `runs/baseline/20260101-120000-abc123`, or `baseline`.
        device: where the model goes.

    Raises:
        RunError: there is no such run, or it is damaged.
    """
    directory = RunDirectory(find_run(path))
    experiment = parse_experiment(directory.read_config(), str(directory.config))
    return Run(directory, experiment, resolve_device(device))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else brief_json(value)
