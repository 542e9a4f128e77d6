"""Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from vaelab.errors import VaelabError
from vaelab.registry import TRACKERS, ComponentConfig
from vaelab.trackers.base import RunInfo, Tracker


class WandbConfig(ComponentConfig):
    """Arguments of the Weights & Biases tracker."""

    kind: Literal["wandb"] = "wandb"

    mode: Literal["offline", "online", "disabled"] = "offline"
    """`offline` keeps everything in the run directory until `wandb sync`; `online` needs a login; `disabled` does nothing."""

    project: str = Field(default="vaelab", min_length=1)
    """Project."""

    entity: str | None = None
    """User or team; by default the login's."""

    tags: tuple[str, ...] = ()
    """Tags of the run."""

    @classmethod
    def example(cls) -> WandbConfig:
        return cls(mode="disabled")


@TRACKERS.register(WandbConfig)
class Wandb(Tracker[WandbConfig]):
    """Metrics, figures, config and summary in Weights & Biases, under the names that the run directory uses.

    A resumed run continues the same wandb run.
    """

    def start(self, run: RunInfo) -> None:
        # imported here: it takes a second, and most commands have no use for it
        import wandb

        config = self.config
        try:
            self._run = wandb.init(
                project=config.project,
                entity=config.entity,
                name=f"{run.name}/{run.id}",
                id=run.id,
                dir=str(run.directory),
                config=dict(run.config),
                tags=list(config.tags),
                mode=config.mode,
                resume="allow",
                settings=wandb.Settings(silent=True, init_timeout=30),
            )
        except (wandb.errors.Error, OSError) as error:
            raise VaelabError(
                f"tracker 'wandb' could not start in mode '{config.mode}': {error}. Log in with `wandb login`, or use "
                '"mode": "offline".'
            ) from error
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, line: Mapping[str, Any]) -> None:
        split = line["split"]
        self._run.log(
            {
                key if key in ("step", "epoch") else f"{split}/{key}": value
                for key, value in line.items()
                if key != "split"
            }
        )

    def figure(self, name: str, path: Path) -> None:
        import wandb

        self._run.log({f"figures/{name}": wandb.Image(str(path))})

    def finish(self, summary: Mapping[str, float]) -> None:
        for name, value in summary.items():
            self._run.summary[f"test/{name}"] = value

    def close(self, *, failed: bool) -> None:
        self._run.finish(exit_code=1 if failed else 0)
