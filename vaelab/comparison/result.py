"""A comparison: its numbers, and how they are written."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaelab.comparison.reading import Member, columns, comparable, grouped, read, titles
from vaelab.comparison.statistics import LEAST_SEEDS, Difference, over_data, over_seeds
from vaelab.errors import ConfigError
from vaelab.evaluation.tables import written
from vaelab.files import write_json, write_text
from vaelab.metrics import Value

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Cell:
    """One value of one configuration.

    Attributes:
        mean: over the seeds.
        deviation: standard deviation over the seeds, $n - 1$ in its denominator; None for one seed.
        stderr: over the data, where there is one seed; None else.
        values: by seed.
    """

    mean: float
    deviation: float | None
    stderr: float | None
    values: dict[int, float]

    def text(self) -> str:
        """Mean ± standard deviation (number of seeds), or value ± standard error over the data."""
        spread = self.stderr if self.deviation is None else self.deviation
        seeds = f" ({len(self.values)})" if len(self.values) > 1 else ""
        return written(Value(self.mean, spread)) + seeds


@dataclass(frozen=True)
class Comparison:
    """Configurations side by side. Made by `compare`.

    Attributes:
        split: of the data.
        metrics: names of the columns.
        units: unit of each column.
        better: better direction of each column, or None.
        configurations: a title for each.
        runs: directories of each one's runs.
        cells: `cells[metric][configuration]`, None where no run has the value.
        differences: `differences[metric][configuration]` to the configuration with the best mean; None for that one itself,
            and where there is no value.
        best: for each column the configuration with the best mean, marked only if every interval of a difference
            excludes 0; else None.
    """

    split: str
    metrics: list[str]
    units: dict[str, str]
    better: dict[str, str | None]
    configurations: list[str]
    runs: list[list[str]]
    cells: dict[str, list[Cell | None]]
    differences: dict[str, list[Difference | None]]
    best: dict[str, int | None]

    def to_json(self) -> dict[str, Any]:
        """What goes into comparison.json."""
        return {**asdict(self), "note": self.note}

    @property
    def note(self) -> str:
        """What the numbers and the mark mean."""
        several = any(cell and cell.deviation is not None for row in self.cells.values() for cell in row)
        one = any(cell and cell.deviation is None for row in self.cells.values() for cell in row)
        parts = []
        if several:
            parts.append(
                "Mean ± standard deviation over seeds (number of seeds). * is best: every 95 % interval of a paired "
                f"difference excludes 0, by a bootstrap over {LEAST_SEEDS} or more shared seeds."
            )
        if one:
            parts.append(
                "One seed: value ± standard error over the data. Where two such are compared, * speaks of these runs and "
                "not of their configurations, by an unpaired interval."
            )
        return " ".join(parts)

    def rows(self) -> list[list[str]]:
        """The cells of the table as text, a row a configuration."""
        rows = []
        for i, title in enumerate(self.configurations):
            row = [title]
            for metric in self.metrics:
                cell = self.cells[metric][i]
                row.append("" if cell is None else cell.text() + (" *" if self.best[metric] == i else ""))
            rows.append(row)
        return rows

    def head(self) -> list[str]:
        """The columns, each with an arrow towards what is better."""
        arrows = {"lower": " ↓", "higher": " ↑", None: ""}
        return [metric + arrows[self.better[metric]] for metric in self.metrics]

    def table(self) -> Table:
        """For the screen."""
        from rich.markup import escape
        from rich.table import Table

        rows = Table(
            title=f"Comparison ({self.split} split)",
            caption=self.note,
            title_justify="left",
            caption_justify="left",
        )
        rows.add_column("configuration", overflow="fold")
        for name in self.head():
            rows.add_column(escape(name), justify="right", no_wrap=True)
        for row in self.rows():
            rows.add_row(*map(escape, row))
        return rows

    def markdown(self) -> str:
        """The table, and the differences to the best mean."""
        head = ["configuration", *self.head()]
        lines = [head, ["---", *("---:" for _ in self.metrics)], *self.rows()]
        text = "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
        text += f"\n{self.note}\n"
        found = [
            f"- {metric}: {self.configurations[i]} less the best mean is {difference.value:.4g}{_interval(difference)}\n"
            for metric in self.metrics
            for i, difference in enumerate(self.differences[metric])
            if difference is not None
        ]
        return text + ("\n" + "".join(found) if found else "")

    def csv(self) -> str:
        """A line a configuration, metric and seed."""
        out = io.StringIO()
        lines = csv.writer(out, lineterminator="\n")
        lines.writerow(["configuration", "metric", "unit", "split", "seed", "value"])
        for metric in self.metrics:
            for title, cell in zip(self.configurations, self.cells[metric], strict=True):
                for seed, value in (cell.values if cell else {}).items():
                    lines.writerow([title, metric, self.units[metric], self.split, seed, repr(value)])
        return out.getvalue()

    def write(self, folder: str | Path) -> list[Path]:
        """Write comparison.json, .csv and .md."""
        folder = Path(folder)
        paths = [folder / f"comparison.{ending}" for ending in ("json", "csv", "md")]
        write_json(paths[0], self.to_json())
        write_text(paths[1], self.csv())
        write_text(paths[2], self.markdown())
        return paths


def _interval(difference: Difference) -> str:
    if difference.low is None or difference.high is None:
        return ", with no interval"
    over = f"{difference.pairs} shared seeds" if difference.over == "seeds" else "the data, unpaired"
    return f" in [{difference.low:.4g}, {difference.high:.4g}] over {over}"


def compare(runs: Sequence[str | Path], *, metrics: Sequence[str] = (), split: str = "test") -> Comparison:
    """Put evaluated runs side by side, those of one configuration together.

    Nothing is measured and no model is read; see `vaelab.comparison.evaluate_more` for more values.

    Args:
        runs: directories, or names of experiments for their newest.
        metrics: names of values, such as `nll_is128`; by default those that all runs have and that rank them.
        split: whose values.

    Raises:
        ConfigError: a run is named twice, or values of one column are of different data, binarisations or splits; the
            message names what differs.
        RunError: there is no such run, or it was not evaluated.
    """
    members = [read(run, split) for run in runs]
    for i, member in enumerate(members):
        if member.path.resolve() in {other.path.resolve() for other in members[:i]}:
            raise ConfigError(f"{member.path} is named twice; name it once")
    names = columns(members, metrics)
    for name in names:
        comparable(members, name)
    groups = grouped(members)
    first = {name: next(m.evaluation.values[name] for m in members if name in m.evaluation.values) for name in names}
    cells = {name: [_cell(group, name) for group in groups] for name in names}
    differences, best = {}, {}
    for name in names:
        differences[name], best[name] = _ranked(cells[name], first[name].better)
    return Comparison(
        split,
        names,
        {name: value.unit for name, value in first.items()},
        {name: value.better for name, value in first.items()},
        titles(groups),
        [[str(member.path) for member in group] for group in groups],
        cells,
        differences,
        best,
    )


def _cell(group: Sequence[Member], name: str) -> Cell | None:
    found = {m.seed: m.evaluation.values[name] for m in group if name in m.evaluation.values}
    if not found:
        return None
    values = {seed: value.value for seed, value in found.items()}
    numbers = list(values.values())
    if len(numbers) > 1:
        return Cell(statistics.fmean(numbers), statistics.stdev(numbers), None, values)
    [only] = found.values()
    return Cell(numbers[0], None, only.stderr, values)


def _ranked(cells: Sequence[Cell | None], better: str | None) -> tuple[list[Difference | None], int | None]:
    """Differences to the best mean, and the best where all of them are decided."""
    sign = {"lower": 1, "higher": -1, None: 0}[better]
    known = [(sign * cell.mean, i) for i, cell in enumerate(cells) if cell is not None and math.isfinite(cell.mean)]
    if sign == 0 or len(known) < 2:
        return [None] * len(cells), None
    leader = min(known)[1]
    top = cells[leader]
    assert top is not None
    differences = [None if cell is None or i == leader else _difference(cell, top) for i, cell in enumerate(cells)]
    decided = all(difference.decided for difference in differences if difference is not None)
    return differences, leader if decided else None


def _difference(one: Cell, other: Cell) -> Difference:
    if one.deviation is None and other.deviation is None:
        [value], [theirs] = one.values.values(), other.values.values()
        return over_data((value, one.stderr), (theirs, other.stderr))
    return over_seeds(one.values, other.values)
