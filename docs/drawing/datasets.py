"""Data sets: some of their data, as a model receives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from drawing.canvas import SET, axes
from drawing.runs import trained
from vaelab.registry import DATASETS
from vaelab.types import Batch, DataSplits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 10
_MNIST = {"kind": "mnist", "offline_fallback": True, "train_limit": 200, "test_limit": 200}
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "mnist": _MNIST,
    "digits": {},
    "sprites": {"size": 32, "colours": 3},
    "coloured": {"data": _MNIST},
    "incomplete": {"data": _MNIST, "share": 0.5},
    "moving": {"data": _MNIST, "steps": 10, "size": 40, "speed": 3.0},
    "few_labels": {"data": {**_MNIST, "train_limit": None}, "labels": 100},
    "pairs": {"data": {**_MNIST, "train_limit": None}},
}


def draw(kind: str) -> tuple[Figure, str]:
    """One kind: figure and description."""
    if kind == "latents":
        return _latents()
    if kind == "small_tables":
        return _tables()
    data = _load(kind)
    if kind in ("pairs", "few_labels", "incomplete", "moving"):
        return _wrapped(kind, data)
    x = data.test.fetch(torch.arange(2 * _COLUMNS)).x
    figure, (plot,) = axes(1, 4.6, 1.0)
    _sheet(plot, [x[:_COLUMNS], x[_COLUMNS:]])
    more = " Both colours follow from the seed." if kind == "coloured" else ""
    return figure, f"The first {2 * _COLUMNS} test data of `{kind}`, not selected.{more}"


def _load(kind: str) -> DataSplits:
    return DATASETS.build(DATASETS[kind].config.model_validate({"kind": kind, **_ARGUMENTS[kind]})).load()


def _sheet(plot: Axes, rows: list[Tensor]) -> None:
    """Rows of pictures `[N, C, H, W]`, with a gap of two pixels."""
    padded = [torch.nn.functional.pad(row, (1, 1, 1, 1), value=0.5) for row in rows]
    lines = [torch.cat(list(row), 2) for row in padded]
    sheet = torch.cat(lines, 1).clamp(0, 1)
    plot.imshow(sheet.permute(1, 2, 0).squeeze(-1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    plot.set_axis_off()


def _wrapped(kind: str, data: DataSplits) -> tuple[Figure, str]:
    batch = data.train.fetch(torch.arange(_COLUMNS))
    if kind == "moving":
        x = batch.x[:3].reshape(3, 10, 1, 40, 40)
        figure, (plot,) = axes(1, 4.6, 1.5)
        _sheet(plot, list(x))
        return figure, "Three sequences of `moving`, ten frames each, of MNIST digits that fly about and turn."
    rows = {"pairs": _pairs, "few_labels": _few, "incomplete": _hidden}[kind](batch)
    figure, (plot,) = axes(1, 4.6, 1.0)
    _sheet(plot, rows)
    return figure, {
        "pairs": "Ten training data, and below each the companion with the same label that `pairs` drew for it; MNIST.",
        "few_labels": "Ten training data without a label, and below them labelled data that `few_labels` drew as companions; MNIST.",
        "incomplete": "Ten MNIST digits, and below them what `incomplete` leaves of them: half of the pixels, the others in grey.",
    }[kind]


def _pairs(batch: Batch) -> list[Tensor]:
    assert batch.companion is not None
    return [batch.x, batch.companion.x]


def _few(batch: Batch) -> list[Tensor]:
    assert batch.companion is not None
    assert batch.companion.y is not None
    order = batch.companion.y.argsort()
    return [batch.x, batch.companion.x[order[:_COLUMNS]]]


def _hidden(batch: Batch) -> list[Tensor]:
    assert batch.complete is not None
    assert batch.observed is not None
    return [batch.complete, torch.where(batch.observed, batch.x, torch.full_like(batch.x, 0.5))]


def _tables() -> tuple[Figure, str]:
    names = ("iris", "wine", "breast_cancer")
    figure, plots = axes(3, 5.2, 1.9)
    for plot, name in zip(plots, names, strict=True):
        data = DATASETS.build(
            DATASETS["small_tables"].config.model_validate({"kind": "small_tables", "table": name})
        ).load()
        batch = data.train.fetch(torch.arange(len(data.train)))
        assert batch.y is not None
        plot.scatter(batch.x[:, 0], batch.x[:, -1], c=[SET[int(y)] for y in batch.y], s=4, linewidths=0)
        plot.set(title=name, xlabel="first column", ylabel="last column")
    return figure, "The first and the last column of three of the tables, standardised, a colour a label."


def _latents() -> tuple[Figure, str]:
    with trained() as run:
        config = DATASETS["latents"].config.model_validate({"kind": "latents", "run": str(run.path)})
        train = DATASETS.build(config).load().train
        batch = train.fetch(torch.arange(800))
    assert batch.y is not None
    figure, (plot,) = axes(1, 2.6, 2.2)
    plot.scatter(*batch.x.T, c=[SET[int(y)] for y in batch.y], s=4, linewidths=0)
    plot.set(xlabel="$z_1$", ylabel="$z_2$")
    return (
        figure,
        "800 data of `latents`: draws of the posterior of a run on the 8 x 8 digits with two latent numbers, a colour a label.",
    )
