"""TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import PositiveInt

from vaelab.errors import VaelabError
from vaelab.reading import leaves
from vaelab.registry import TRACKERS, ComponentConfig
from vaelab.trackers.base import RunInfo, Tracker

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorboardConfig(ComponentConfig):
    """Arguments of the TensorBoard tracker."""

    kind: Literal["tensorboard"] = "tensorboard"

    flush_seconds: PositiveInt = 30
    """Seconds after which what was written is on the disk at the latest."""


@TRACKERS.register(TensorboardConfig)
class Tensorboard(Tracker[TensorboardConfig]):
    """Metrics, figures, config and summary as event files in the folder `tensorboard` of the run directory.

    The names are those that the run directory uses, as with `wandb`: `train/loss`, `figures/samples`, `test/nll_is128`. The
    config stands under Text, and with the summary under HParams. What a stopped run wrote after its last checkpoint is
    hidden when it is resumed. `tensorboard --logdir runs` shows all runs.

    Use it where TensorBoard is what you look at; it needs the extra `tensorboard`.
    """

    def __init__(self, config: TensorboardConfig) -> None:
        super().__init__(config)
        self._opened: SummaryWriter | None = None
        self._step = 0

    def start(self, run: RunInfo) -> None:
        try:
            # imported here: it takes a second, and most commands have no use for it
            from torch.utils.tensorboard import SummaryWriter  # noqa: F401
        except ImportError as error:
            raise VaelabError(
                f"tracker 'tensorboard' cannot start: {error}. Install it with `pip install 'vaelab[tensorboard]'`."
            ) from error
        self._run = run
        if not run.resumed:
            self._writer(None)

    def _writer(self, purge_step: int | None) -> SummaryWriter:
        """The writer, opened at the first line of a resumed run: steps from there on are written again."""
        if self._opened is None:
            from torch.utils.tensorboard import SummaryWriter

            folder = str(self._run.directory / "tensorboard")
            self._opened = SummaryWriter(folder, purge_step=purge_step, flush_secs=self.config.flush_seconds)
            text = json.dumps(self._run.config, indent=2)
            self._opened.add_text("config", "\n".join(f"    {line}" for line in text.splitlines()))
        return self._opened

    def log(self, line: Mapping[str, Any]) -> None:
        self._step = line["step"]
        writer = self._writer(self._step)
        for name, value in line.items():
            if name not in ("split", "step"):
                name = name if name == "epoch" else f"{line['split']}/{name}"
                writer.add_scalar(name, value, self._step)

    def figure(self, name: str, path: Path) -> None:
        import numpy as np
        from PIL import Image

        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        self._writer(None).add_image(f"figures/{name}", pixels, self._step, dataformats="HWC")

    def finish(self, summary: Mapping[str, float]) -> None:
        from torch.utils.tensorboard.summary import hparams

        writer = self._writer(None)
        values = {f"test/{name}": value for name, value in summary.items()}
        for name, value in values.items():
            writer.add_scalar(name, value, self._step)
        # add_hparams would open another folder for the same
        for part in hparams(_flat(self._run.config), values):
            writer._get_file_writer().add_summary(part)

    def close(self, *, failed: bool) -> None:
        if self._opened is not None:
            self._opened.close()


def _flat(config: Any) -> dict[str, str | bool | int | float]:
    """The config as HParams takes it; lists and nulls as their JSON."""
    plain = str | bool | int | float
    return {path: value if isinstance(value, plain) else json.dumps(value) for path, value in leaves(config)}
