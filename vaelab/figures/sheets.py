"""A sheet of data in rows and columns, whatever the data are; what most figures show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.figures.base import FigureContext
from vaelab.figures.tiles import as_picture, mosaic, mosaic_gap
from vaelab.metrics import offered
from vaelab.model import VAE
from vaelab.types import Batch, DataSpec, Split

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

#: Okabe & Ito's colours, which the colour-blind can tell apart, in the order in which they are used.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
#: Sequences with more numbers a step than this are shown as heat maps, others as lines.
MOST_LINES = 6

Rows = Sequence[Sequence[Tensor]]


@dataclass(frozen=True)
class Labels:
    """What stands around a sheet.

    Attributes:
        title: of the sheet.
        rows: a label a row, or none at all.
        columns: a label a column, or none at all.
        x: what the columns are.
        y: what the rows are.
    """

    title: str
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    x: str = ""
    y: str = ""


def pick(model: VAE, split: Split, number: int) -> Batch:
    """Up to `number` data chosen at random, as files are often sorted by class, on the model's device."""
    return next(pick_batches(model, split, number, number))


def pick_batches(model: VAE, split: Split, number: int, batch_size: int) -> Iterator[Batch]:
    """The same in batches."""
    order = torch.randperm(len(split))[:number]
    for batch in split.batches(order, batch_size):
        yield batch.to(model.device)


def expected(likelihood: Distribution) -> Tensor:
    """E[x | z] `[*batch, *shape]`, or a draw where the likelihood has no mean in closed form."""
    mean = offered(likelihood, "mean")
    return likelihood.sample() if mean is None else mean


def new_picture(width: float, height: float, title: str, context: FigureContext) -> Picture:
    """An empty picture of this size in inches, with its title and the name of the run."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(width, height), dpi=130, layout="constrained")
    picture.suptitle(f"{context.title}\n{title}" if context.title else title, fontsize=10)
    return picture


def sheet(rows: Rows, spec: DataSpec, labels: Labels, context: FigureContext) -> Picture | None:
    """Data in rows and columns: images and wide sequences as tiles, vectors and narrow sequences as lines.

    Args:
        rows: data of shape `spec.shape`; a row may be shorter than the others.
        spec: of the data.
        labels: what stands around them.
        context: of the figure.

    Returns:
        The picture, or None where data of this shape cannot be shown.
    """
    shape = spec.shape
    if len(shape) == 3:
        return _tiles(rows, spec, labels, context)
    if len(shape) == 2 and shape[1] > MOST_LINES:
        as_images = [[x.T.unsqueeze(0) for x in row] for row in rows]  # time runs to the right
        return _tiles(as_images, spec, labels, context, heat=True)
    return _lines(rows, labels, context) if len(shape) in (1, 2) else None


def _tiles(rows: Rows, spec: DataSpec, labels: Labels, context: FigureContext, heat: bool = False) -> Picture:
    low, high = (0.0, 1.0) if spec.values != "real" else value_range([x for row in rows for x in row])
    scaled = [[(x.detach().cpu().float() - low) / (high - low) for x in row] for row in rows]
    # a colour map has no white, and leaves out what is no number
    canvas = mosaic(scaled, background=math.nan if heat else 1.0)
    _, height, width = as_picture(scaled[0][0]).shape
    gap, columns = mosaic_gap(height, width), max(len(row) for row in rows)
    # no tile is wider than an inch and no sheet than ten; extreme proportions are stretched
    ratio = min(max(height / width, 0.4), 2.5) if heat else height / width
    tile = min(0.9, 10 / columns, 12 / (len(rows) * ratio)) * (1.4 if heat else 1.0)
    size = (max(columns * tile, 3.2) + 0.9, len(rows) * tile * ratio + 0.9)
    picture = new_picture(*size, labels.title, context)
    axes = picture.subplots()
    if canvas.shape[0] == 3:
        axes.imshow(canvas.permute(1, 2, 0).numpy(), interpolation="nearest")
    else:
        shown = axes.imshow(
            canvas[0].numpy(),
            cmap="viridis" if heat else "gray",
            vmin=0,
            vmax=1,
            interpolation="nearest",
            aspect="auto" if heat else "equal",
        )
        if heat:
            bar = picture.colorbar(shown, ax=axes, fraction=0.04, pad=0.02, ticks=[0, 0.5, 1], label="value")
            bar.ax.set_yticklabels([f"{low + part * (high - low):.3g}" for part in (0, 0.5, 1)], fontsize=8)
    axes.set_xticks([c * (width + gap) + width / 2 for c in range(len(labels.columns))], labels.columns)
    axes.set_yticks([r * (height + gap) + height / 2 for r in range(len(labels.rows))], labels.rows)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(labels.x, fontsize=9)
    axes.set_ylabel(labels.y, fontsize=9)
    return picture


def value_range(data: Iterable[Tensor]) -> tuple[float, float]:
    """What is drawn black and white: nearly all of real data, so that one stray number does not grey out the rest."""
    numbers = torch.cat([x.detach().cpu().float().flatten() for x in data])
    numbers = numbers[numbers.isfinite()]
    if not len(numbers):
        return 0.0, 1.0
    numbers = numbers[:: max(1, len(numbers) // 100_000)]
    low, high = (float(numbers.quantile(q)) for q in (0.005, 0.995))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _lines(rows: Rows, labels: Labels, context: FigureContext) -> Picture:
    from matplotlib.ticker import MaxNLocator

    columns = max(len(row) for row in rows)
    width, height = min(1.5, 11 / columns), min(1.0, 14 / len(rows))
    picture = new_picture(max(columns * width, 3) + 0.8, len(rows) * height + 1.0, labels.title, context)
    axes = picture.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    for r, row in enumerate(rows):
        for c, panel in enumerate(axes[r]):
            if c >= len(row):
                panel.set_visible(False)
                continue
            x = row[c].detach().cpu().float()
            series = x.unsqueeze(1) if x.ndim == 1 else x
            for d, line in enumerate(series.T):
                marker = "." if len(line) <= 16 else None  # a line through one number is invisible
                panel.plot(line.numpy(), color=COLOURS[d % len(COLOURS)], linewidth=0.9, marker=marker, markersize=3)
            panel.tick_params(labelsize=6)
            panel.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))  # positions, not numbers
            panel.spines[["top", "right"]].set_visible(False)
            if c == 0 and r < len(labels.rows):
                panel.set_ylabel(labels.rows[r], fontsize=7)
            if r == len(rows) - 1 and c < len(labels.columns):
                panel.set_xlabel(labels.columns[c], fontsize=7)
    picture.supxlabel(labels.x, fontsize=9)
    picture.supylabel(labels.y, fontsize=9)
    return picture
