"""What is measured and drawn at the end of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from vaelab.config import EvaluationConfig
from vaelab.errors import ConfigError, DataError, StorageError, VaelabError
from vaelab.figures import Figure, FigureContext
from vaelab.files import make_folder, replacing
from vaelab.metrics import EvaluationContext, Value, measure, seeded
from vaelab.model import VAE
from vaelab.processes import ALONE, Processes
from vaelab.registry import FIGURES
from vaelab.types import DataSplits

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


@dataclass(frozen=True)
class Evaluation:
    """Measured values, with what is needed to measure them again.

    Attributes:
        values: by name.
        split: of the data.
        number: of data in the split.
        seed: of every draw.
        batch_size: data a pass; with another the draws differ.
        provenance: of the data.
        metrics: the resolved configs of the metrics.
    """

    values: dict[str, Value]
    split: str
    number: int
    seed: int
    batch_size: int
    provenance: dict[str, Any]
    metrics: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """What goes into evaluation.json. A number that is not finite becomes null, as JSON has no other."""
        return {
            "split": self.split,
            "number": self.number,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "values": {name: value_to_json(value, self.number) for name, value in self.values.items()},
            "data": self.provenance,
            "metrics": list(self.metrics),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; null becomes NaN."""
        values = {
            name: Value(
                math.nan if v["value"] is None else v["value"],
                v["stderr"],
                v["unit"],
                v["better"],
                v.get("extractor"),
                v.get("number"),
            )
            for name, v in content["values"].items()
        }
        return cls(
            values,
            content["split"],
            content["number"],
            content["seed"],
            content["batch_size"],
            content["data"],
            tuple(content["metrics"]),
        )


def value_to_json(value: Value, whole: int) -> dict[str, Any]:
    """One value in evaluation.json.

    Args:
        value: the value.
        whole: number of data in the split; where the value is of fewer, it says so itself.
    """
    return {
        "value": _finite(value.value),
        "stderr": _finite(value.stderr),
        "unit": value.unit,
        "better": value.better,
        **({} if value.extractor is None else {"extractor": value.extractor}),
        **({} if value.number in (None, whole) else {"number": value.number}),
    }


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def evaluate(
    model: VAE,
    data: DataSplits,
    config: EvaluationConfig,
    *,
    split: str = "test",
    processes: Processes = ALONE,
    told: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """All metrics of the config on one split. Neither the model's mode nor any random state is changed by it.

    Args:
        model: the model.
        data: the data set.
        config: which metrics, the batch size, and the seed of each metric's draws.
        split: `train`, `validation` or `test`.
        processes: who share the work; all of them get the values.
        told: as in `EvaluationContext`, such as an `EvaluationProgress`.

    Raises:
        DataError: the data have no such split, or it is empty.
        ConfigError: there is no split of that name, or two metrics yield a value of the same name.
    """
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    if split not in splits:
        raise ConfigError(f"there is no split '{split}': the splits are {', '.join(splits)}")
    chosen = splits[split]
    if chosen is None:
        raise DataError(f"there is nothing to evaluate on: the data have no {split} split")
    context = EvaluationContext(config.batch_size, config.seed, data=data, processes=processes, told=told)
    values = measure(config.metrics, model, chosen, context)
    metrics = tuple(metric.model_dump(mode="json") for metric in config.metrics)
    return Evaluation(values, split, len(chosen), config.seed, config.batch_size, data.provenance, metrics)


def draw(
    model: VAE,
    data: DataSplits,
    config: EvaluationConfig,
    history: Sequence[dict[str, Any]],
    directory: Path,
    title: str,
) -> list[Path]:
    """All figures of the config as PNG files.

    Args:
        model: the model.
        data: the data set.
        config: which figures, and the seed of each one's draws.
        history: the lines of metrics.jsonl.
        directory: where the files go; made where it is missing.
        title: name of the run.

    Returns:
        The files, in the order of the config. A second picture of one name gets a number.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
        VaelabError: some figures failed; the others are written, and the message names those that are not.
    """
    make_folder(directory)
    context = FigureContext(data, history, config.seed, title)
    written: list[Path] = []
    failed: list[tuple[str, Exception]] = []
    for component in config.figures:
        try:
            figure: Figure[Any] = FIGURES.build(component)
            with model.evaluating(), torch.no_grad(), seeded(config.seed):
                pictures = figure.draw(model, context)
            for name, picture in pictures.items():
                path = _free(directory, name, written)
                _write(picture, path)
                written.append(path)
        except StorageError:
            raise
        except Exception as error:  # whatever it is, the figures after this one are still wanted
            failed.append((component.kind, error))
    if failed:
        reasons = "; ".join(f"'{kind}' ({type(error).__name__}: {error})" for kind, error in failed)
        raise VaelabError(f"{len(failed)} of {len(config.figures)} figures could not be drawn: {reasons}") from failed[
            0
        ][1]
    return written


def _free(directory: Path, name: str, written: list[Path]) -> Path:
    path, number = directory / f"{name}.png", 1
    while path in written:
        number += 1
        path = directory / f"{name}_{number}.png"
    return path


def _write(picture: Picture, path: Path) -> None:
    with replacing(path) as temporary:
        # without the version of matplotlib in it, the same picture is the same file
        picture.savefig(temporary, format="png", bbox_inches="tight", pad_inches=0.08, metadata={"Software": None})
