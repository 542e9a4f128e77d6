"""The files of a run."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vaelab.config import Experiment
from vaelab.errors import RunError, StorageError
from vaelab.files import storage_error, sweep_up, write_json, write_text
from vaelab.migrations import RUN
from vaelab.provenance import config_hash
from vaelab.reading import read_json
from vaelab.records import EvaluationRecord, ManifestRecord, read_lines, read_record


@dataclass(frozen=True)
class RunDirectory:
    """The files of one run, `runs/<name>/<id>`."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved experiment."""
        return self.path / "config.json"

    @property
    def manifest(self) -> Path:
        """Provenance and status."""
        return self.path / "manifest.json"

    @property
    def metrics(self) -> Path:
        """A line a log step."""
        return self.path / "metrics.jsonl"

    @property
    def evaluation(self) -> Path:
        """Values on the test data."""
        return self.path / "evaluation.json"

    def evaluation_of(self, split: str) -> Path:
        """Values on one split; those of the test split are in `evaluation`."""
        return self.evaluation if split == "test" else self.path / f"evaluation-{split}.json"

    @property
    def health(self) -> Path:
        """A line a probe of the latents or a finding of the training."""
        return self.path / "health.jsonl"

    @property
    def latent_map(self) -> Path:
        """Places of test data among the latents."""
        return self.path / "latent_map.json"

    @property
    def report(self) -> Path:
        """All of the run on one page."""
        return self.path / "report.html"

    @property
    def weights(self) -> Path:
        """The weights that were evaluated."""
        return self.path / "weights.safetensors"

    @property
    def checkpoints(self) -> Path:
        """Where training goes on from."""
        return self.path / "checkpoints"

    @property
    def figures(self) -> Path:
        """Pictures."""
        return self.path / "figures"

    @property
    def profile(self) -> Path:
        """Where the time of a step goes, where that was asked for."""
        return self.path / "profile"

    @classmethod
    def create(cls, root: Path, experiment: Experiment) -> RunDirectory:
        """A new directory with its config.

        Raises:
            StorageError: the place cannot be written.
        """
        start = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        parent = root / experiment.name
        try:
            parent.mkdir(parents=True, exist_ok=True)
            for attempt in range(1000):
                path = parent / (f"{start}-{config_hash(experiment)[:6]}" + (f"-{attempt}" if attempt else ""))
                try:
                    path.mkdir()
                except FileExistsError:
                    continue
                run = cls(path)
                write_text(run.config, experiment.to_json())
                return run
        except OSError as error:
            raise storage_error(parent, error) from error
        raise RunError(f"{parent}: no free name for a run. Choose --out.")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing this run, and remove what one that was killed left unfinished.

        Raises:
            RunError: another process writes it.
            StorageError: it cannot be written.
        """
        try:
            file = (self.path / ".lock").open("w")
        except OSError as error:
            raise storage_error(self.path, error) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(f"{self.path}: another process writes this run. Wait for it, or stop it.") from error
            for folder in (self.path, self.checkpoints, self.checkpoints / "best", self.figures):
                sweep_up(folder)
            yield

    def discard_unless_begun(self) -> None:
        """Remove the directory of a run that was refused before anything was measured."""
        if not read_lines(self.metrics) and not self.checkpoints.exists():
            shutil.rmtree(self.path, ignore_errors=True)
            with suppress(OSError):  # there are other runs of this name
                self.path.parent.rmdir()

    def in_use(self) -> bool:
        """Whether a process writes this run now."""
        try:
            with (self.path / ".lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def require(self) -> None:
        """Look whether the directory is still there.

        Raises:
            StorageError: it was removed or renamed.
        """
        if not self.path.is_dir():
            raise StorageError(f"{self.path}: the run's directory was removed or renamed while it was written.")

    def upgrade(self) -> None:
        """Write config and manifest in the format of this version, where they are of an older one."""
        if self.manifest.exists() and read_record(self.manifest, ManifestRecord).get("format") != RUN.current:
            content = self._current()
            write_json(self.config, content["config"])
            write_json(self.manifest, content["manifest"])

    def read_config(self) -> dict[str, Any]:
        """The content of config.json, in the format of this version.

        Raises:
            RunError: it is damaged, or of a newer vaelab.
        """
        config = self._current()["config"]
        if not isinstance(config, dict):
            raise RunError(f"{self.config}: not an experiment. Restore the file from a copy.")
        return config

    def read_manifest(self) -> dict[str, Any]:
        """The manifest, empty where there is none, in the format of this version."""
        return dict(self._current()["manifest"]) if self.manifest.exists() else {}

    def _current(self) -> dict[str, Any]:
        config = read_json(self.config) if self.config.exists() else {}
        manifest = read_record(self.manifest, ManifestRecord) if self.manifest.exists() else {}
        found = manifest.get("format", RUN.current)
        content = RUN.apply({"config": config, "manifest": manifest}, found, self.path)
        content["manifest"]["format"] = RUN.current
        return content

    def read_evaluation(self, split: str = "test") -> dict[str, Any] | None:
        """The values on one split, None where the run was not evaluated on it.

        Raises:
            RunError: the file is damaged.
        """
        path = self.evaluation_of(split)
        return read_record(path, EvaluationRecord) if path.exists() else None

    @property
    def way_on(self) -> str:
        """The command that goes on with the run."""
        return f"python -m vaelab run --resume {self.path}"

    def update_manifest(self, **entries: Any) -> None:
        """Add entries to the manifest."""
        self.require()
        write_json(self.manifest, {"format": RUN.current, **self.read_manifest(), **entries})

    def history(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl. A last line that was cut off in writing is left out."""
        return read_lines(self.metrics)

    def health_lines(self) -> list[dict[str, Any]]:
        """The lines of health.jsonl, likewise."""
        return read_lines(self.health)
