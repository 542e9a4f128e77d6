"""What the pictures have in common: size, colours, and a file that carries its own words."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURES = Path(__file__).parents[1] / "pictures"
#: What is learned or chosen, what is exact, what is given, and a second curve.
MODEL, EXACT, DATA, OTHER = "#3949ab", "#d9730d", "#777777", "#2e8b57"
#: Of labels and of other kinds that have no order.
SET = ("#3949ab", "#d9730d", "#2e8b57", "#c2185b", "#00838f", "#8d6e63", "#7cb342", "#5e35b1", "#f9a825", "#546e7a")
_RESOLUTION, _COLOURS = 110, 40
_SETTINGS = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.prop_cycle": "",
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "axes.titlesize": 8,
}


def axes(columns: int = 1, width: float = 4.6, height: float = 2.1, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure with a row of plots, drawn without a display."""
    import matplotlib
    from cycler import cycler
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matplotlib.rcParams.update({**_SETTINGS, "axes.prop_cycle": cycler(color=SET)})
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, columns, squeeze=False, **options)[0])


def curves(across: Any, values: dict[str, Any], xlabel: str, ylabel: str, **options: Any) -> Figure:
    """Named curves over one axis; those whose name starts with `exact` are dashed."""
    figure, (plot,) = axes()
    for name, heights in values.items():
        exact = name.startswith("exact")
        style = {"color": EXACT, "linestyle": "--", "linewidth": 1.2} if exact else {}
        plot.plot(across, heights, label=name, **style)
    plot.set(xlabel=xlabel, ylabel=ylabel, **options)
    if len(values) > 1:
        plot.legend()
    return figure


def plane(plot: Axes, x: tuple[float, float], y: tuple[float, float] | None = None) -> None:
    """A plane of two latents, as wide as high."""
    plot.set(xlim=x, ylim=y or x, aspect="equal", xticks=[], yticks=[])
    for spine in plot.spines.values():
        spine.set_visible(True)


def store(figure: Figure, path: Path, words: str) -> None:
    """Write a small PNG of few colours with its description inside."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_RESOLUTION)
    picture = Image.open(buffer).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    information = PngInfo()
    information.add_itxt("Description", words)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True, pnginfo=information)


def described(family: str, kind: str) -> tuple[str, str] | None:
    """(path below docs/, description) of the stored picture of a kind; None where there is none."""
    from PIL import Image

    path = PICTURES / family / f"{kind}.png"
    if not path.exists():
        return None
    with Image.open(path) as picture:
        return path.relative_to(PICTURES.parent).as_posix(), str(picture.info["Description"])
