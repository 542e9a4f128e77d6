"""Maps of the latents, ready to be drawn."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from vaelab.report.collect import RunContent
from vaelab.report.scales import label

SIDE = 440
MARGIN = 14
#: Classes that colours and names can tell apart; more are shown in one colour.
_MOST_CLASSES = 20
_COLOURS = 10


@dataclass(frozen=True)
class Map:
    """One latent group in the plane.

    Attributes:
        key: of the element.
        title: what is shown.
        first: what the plane is that is shown first.
        tsne: whether there is another one.
        circles: place and number of the colour of each datum.
        names: place and name of each class.
        classes: label, number, middle and spread of each.
        words: the map in a sentence.
        sheet: of thumbnails, or None.
        data: what the script needs.
    """

    key: str
    title: str
    first: str
    tsne: bool
    circles: list[tuple[float, float, int]]
    names: list[tuple[float, float, str]]
    classes: list[list[str]]
    words: str
    sheet: dict[str, Any] | None
    data: dict[str, Any]


def maps(run: RunContent, key: str) -> tuple[list[Map], list[str]]:
    """The maps of a run, and why there are no others.

    Args:
        run: the run.
        key: begins the keys of the elements.
    """
    content = run.latent_map
    if content is None:
        return [], [
            "No map was made of this run. `python -m vaelab report` makes one where weights and data are there."
        ]
    found, words = [], []
    for group in content["groups"]:
        where = f"Group {group['group']}: " if content["depth"] > 1 else ""
        if "omitted" in group:
            words.append(where + group["omitted"])
        else:
            found.append(_map(content, group, f"{key}-{group['group']}"))
    if len(content["groups"]) < content["depth"]:
        words.append(f"Of {content['depth']} latent groups the first and the last are shown.")
    return found, words


def _map(content: dict[str, Any], group: dict[str, Any], key: str) -> Map:
    points, labels = group["pca"], content["labels"]
    names = sorted(set(labels)) if labels else []
    told_apart = 0 < len(names) <= _MOST_CLASSES
    number = {name: i % _COLOURS for i, name in enumerate(names)} if told_apart else {}
    circles = [(*_place(point), number.get(labels[i], 0) if labels else 0) for i, point in enumerate(points)]
    members = {name: [p for p, other in zip(points, labels, strict=True) if other == name] for name in number}
    middles = {name: [statistics.median_high(axis) for axis in zip(*own, strict=True)] for name, own in members.items()}
    title = f"Latent group {group['group']}" if content["depth"] > 1 else "Latents"
    first = "PCA" if group["shares"] else "as they are" if group["size"] <= 2 else "plane"
    return Map(
        key,
        title,
        first,
        "tsne" in group,
        circles,
        [(x, round(y + 5, 1), str(name)) for name, middle in middles.items() for x, y in [_place(middle)]],
        [_row(str(name), own) for name, own in members.items()],
        _words(content, group, len(names), told_apart),
        content.get("sheet"),
        {
            "pca": points,
            **({"tsne": group["tsne"]} if "tsne" in group else {}),
            "labels": labels,
            "texts": content.get("texts"),
            "sheet": {k: v for k, v in content["sheet"].items() if k != "data"} if content.get("sheet") else None,
        },
    )


def _place(point: list[float]) -> tuple[float, float]:
    across, up = (MARGIN + value * (SIDE - 2 * MARGIN) for value in point)
    return round(across, 1), round(SIDE - up, 1)


def _row(name: str, points: list[list[float]]) -> list[str]:
    xs, ys = zip(*points, strict=True)
    mx, my = statistics.fmean(xs), statistics.fmean(ys)
    spread = (statistics.pvariance(xs) + statistics.pvariance(ys)) ** 0.5
    return [name, f"{len(points):,}", *(label(round(value, 3)) for value in (mx, my, spread))]


def _words(content: dict[str, Any], group: dict[str, Any], classes: int, told_apart: bool) -> str:
    text = f"Posterior means of {content['number']:,} test data, chosen at random, of {group['size']} numbers each."
    if group["shares"]:
        first, second = (100 * share for share in group["shares"])
        text += f" PCA: {first:.0f} % of the variance lie across and {second:.0f} % up."
    elif group["size"] == 1:
        text += " Across is the number, up its rank."
    if "tsne" in group:
        text += " t-SNE keeps neighbours together; distances between groups of points mean nothing."
    if told_apart:
        text += f" Colours and numbers are the {classes} labels."
    elif classes:
        text += f" There are {classes} labels, too many for colours."
    return text
