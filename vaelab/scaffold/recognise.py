"""Which data set reads a file or a folder, and with which keys."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vaelab.datasets import array_files, arrow_files, pictures, table_files
from vaelab.datasets.bounded import expanded
from vaelab.errors import ConfigError, DataError
from vaelab.reading import parse_json
from vaelab.registry import DATASETS
from vaelab.wording import some

#: Pictures whose headers are read.
_SAMPLE = 200
#: Rows of an array that are read.
_ROWS = 5000
#: Sides to which pictures are brought, where theirs differ or are longer.
_SIDES = (32, 64, 128)
#: Levels of columns with two values that say yes or no.
_TWO = {"0", "1", "0.0", "1.0", "True", "False"}
_TRAIN = ("train", "training", "x_train")
_TEST = ("test", "testing", "val", "validation", "x_test")


@dataclass
class Proposal:
    """The JSON of a data set, and what is worth knowing of it.

    Attributes:
        data: the JSON.
        notes: sentences.
        levels: number of levels of each column of a table, None for a real one; empty for other data.
    """

    data: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    levels: list[int | None] = field(default_factory=list)


def recognise(data: str) -> Proposal:
    """What a file, a folder, the kind of a data set or its JSON is.

    Raises:
        ConfigError: it is none of these.
        DataError: it cannot be read.
    """
    if data.lstrip().startswith("{"):
        return Proposal(parse_json(data, "DATA"))
    path = expanded(data)
    if os.path.isdir(path):  # which says False of a name that no file can have
        return _folder(path)
    if os.path.isfile(path):
        if path.suffix in array_files.SUFFIXES:
            return _arrays(path)
        if path.suffix in table_files.SUFFIXES:
            return table_proposal(path)
        if path.suffix in (".pkl", ".pickle", ".pt", ".pth"):
            raise DataError(
                f"{path} is a pickle, which can run any code when it is read. Write the data as .npz, .safetensors, .csv or "
                ".parquet."
            )
        known = ", ".join((*array_files.SUFFIXES, *table_files.SUFFIXES))
        raise DataError(f"{path}: data are read from {known} files and from folders of pictures")
    if data in DATASETS:
        return Proposal({"kind": data})
    raise ConfigError(
        f"'{data}' is no file, no folder and no data set. Data sets: {', '.join(entry.kind for entry in DATASETS)}."
    )


def _folder(path: Path) -> Proposal:
    splits = arrow_files.saved_splits(path)
    if splits or arrow_files.is_saved(path):
        return _saved(path, splits)
    names = pictures.class_names(path)
    train = next((name for name in _TRAIN if name in names), None)
    test = next((name for name in _TEST if name in names), None)
    found: dict[str, Any] = {"kind": "image_folder", "path": str(path / train if train else path)}
    if train and test:
        found["test_path"] = str(path / test)
    folder = Path(found["path"])
    classes = pictures.class_names(folder)
    paths, _ = pictures.find_pictures(folder, classes)
    size, channels, notes = _look([Path(name) for name in _evenly(paths)])
    found |= {"size": size, "channels": channels}
    if classes:
        notes.append(f"{len(classes)} folders, which are the classes: {some(classes)}.")
    return Proposal(found, notes)


def _look(sources: Sequence[Any]) -> tuple[int | list[int], int, list[str]]:
    """Size, channels and notes from the headers of some pictures.

    Raises:
        DataError: none can be read.
    """
    from PIL import Image

    sizes, colour, broken = [], False, 0
    for source in sources:
        try:
            with Image.open(source) as picture:
                sizes.append((picture.height, picture.width))
                colour = colour or _coloured(picture)
        except Exception:  # decoders raise many kinds; the data set itself names the picture
            broken += 1
    if not sizes:
        raise DataError("none of the pictures can be read")
    notes = [f"{broken} of {len(sources)} pictures that were looked at cannot be read."] if broken else []
    heights, widths = sorted(h for h, _ in sizes), sorted(w for _, w in sizes)
    if len(set(sizes)) == 1 and max(sizes[0]) <= _SIDES[-1]:
        height, width = sizes[0]
        return (height if height == width else [height, width]), 3 if colour else 1, notes
    middle = min(heights[(len(heights) - 1) // 2], widths[(len(widths) - 1) // 2])
    side = max((s for s in _SIDES if s <= middle), default=_SIDES[0])
    side = min(side, 64)
    ranges = f"{heights[0]} to {heights[-1]} high and {widths[0]} to {widths[-1]} wide"
    notes.append(f'Pictures are {ranges}; they are brought to {side} x {side} by cutting ("fit": "crop").')
    return side, 3 if colour else 1, notes


def _coloured(picture: Any) -> bool:
    if picture.mode in ("1", "L", "LA"):
        return False
    small = np.asarray(picture.convert("RGB").resize((16, 16)), dtype=np.int16)
    return bool((np.abs(small - small.mean(2, keepdims=True)) > 3).any())


def _saved(path: Path, splits: list[str]) -> Proposal:
    train = next((name for name in _TRAIN if name in splits), splits[0] if splits else None)
    test = next((name for name in _TEST if name in splits), None)
    folder = path / train if train else path
    found: dict[str, Any] = {"kind": "huggingface", "path": str(folder)}
    if train and test and test != train:
        found["test_path"] = str(path / test)
    features = arrow_files.features(folder)
    images = [name for name, feature in features.items() if feature.get("_type") == "Image"]
    arrays = [
        name
        for name, feature in features.items()
        if str(feature.get("_type")).startswith("Array") or (feature.get("length") or -1) > 0
    ]
    if not images and not arrays:
        proposal = table_proposal(folder)
        return Proposal(
            {**proposal.data, **({"test_path": found["test_path"]} if "test_path" in found else {})},
            proposal.notes,
            proposal.levels,
        )
    found["x"] = (images or arrays)[0]
    labels = [name for name, feature in features.items() if arrow_files.class_names(feature)]
    if labels:
        found["y"] = labels[0]
    notes: list[str] = []
    table = arrow_files.read(folder)
    if images:
        import io

        column = table.column(found["x"])
        sources = [
            io.BytesIO((column[row].as_py() or {}).get("bytes") or b"") for row in _evenly(range(table.num_rows))
        ]
        found["size"], found["channels"], notes = _look(sources)
    else:
        some = table.slice(0, _ROWS)
        more, notes = _values(arrow_files.array(folder, some, found["x"], _shape(features[found["x"]])))
        found |= more
    return Proposal(found, notes)


def _shape(feature: dict[str, Any]) -> tuple[int, ...]:
    return tuple(feature["shape"]) if "shape" in feature else (int(feature["length"]),)


def _arrays(path: Path) -> Proposal:
    names = array_files.keys(path)
    found: dict[str, Any] = {"kind": "arrays", "path": str(path)}
    headers = {name: array_files.header(path, name) for name in names or ("x",)}
    data = [name for name, header in headers.items() if len(header.shape) >= 2]
    if not data:
        raise DataError(f"{path} holds no array with data along the first of two or more axes: {some(list(headers))}")
    if names is not None:
        usual = [name for name in ("x", *_TRAIN, "data", "images") if name in data]
        x = usual[0] if usual else max(data, key=lambda name: int(np.prod(headers[name].shape)))
        found["x"] = x
        y = _labels_of(headers, x)
        found["y"] = y
        other = next((name for name in (*_TEST, x.replace("train", "test")) if name in data and name != x), None)
        if other is not None:
            found["x_test"] = other
            if y is not None and (y_test := _labels_of(headers, other, but=y)):
                found["y_test"] = y_test
    else:
        x = "x"
    shape = headers[x].shape[1:]
    notes = []
    if len(shape) == 3 and shape[0] not in range(1, 5) and shape[2] in range(1, 5):
        found["layout"] = "hwc"
        notes.append("The last axis has few values and is taken for channels.")
    numbers = array_files.read(path, x)[:_ROWS]
    more, said = _values(numbers.numpy(), headers[x].number)
    if found.get("y"):
        labels = array_files.read(path, found["y"])
        if labels.is_floating_point():
            found["y"] = None
        else:
            found["num_classes"] = int(labels.max()) + 1
    return Proposal({**found, **more}, notes + said)


def _labels_of(headers: dict[str, Any], x: str, but: str | None = None) -> str | None:
    count = headers[x].shape[0]
    fitting = [
        name for name, h in headers.items() if h.shape == (count,) and h.number in ("uint8", "integer") and name != but
    ]
    usual = [x.replace("x", "y", 1), "y", "labels", "label", "targets", "target"]
    return next((name for name in usual if name in fitting), fitting[0] if len(fitting) == 1 else None)


def _values(x: np.ndarray, number: str | None = None) -> tuple[dict[str, Any], list[str]]:
    """The keys `values`, `missing` and `layout`, and why."""
    found: dict[str, Any] = {}
    notes = []
    number = number or {"b": "bool", "f": "float"}.get(x.dtype.kind, "uint8" if x.dtype == np.uint8 else "integer")
    if number == "float" and np.isnan(x).any():
        found["missing"] = True
        notes.append(f"{np.isnan(x).mean():.1%} of the numbers are missing (NaN).")
        x = np.nan_to_num(x)
    if number == "bool":
        return found, notes
    if np.isin(x, (0, 1)).all():
        found["values"] = "binary"
    elif number == "uint8" or (number == "float" and x.min() >= 0 and x.max() <= 1):
        found["values"] = "unit"
    else:
        found["values"] = "real"
        notes.append(f"Numbers from {x.min():.4g} to {x.max():.4g} are no grey levels, so they are declared real.")
        if x.ndim == 3:
            found["layout"] = "as_is"
            notes.append(
                f"Data of two axes are taken for sequences of {x.shape[1]} steps with {x.shape[2]} numbers each. Set "
                '"layout": "hw" if they are pictures.'
            )
    return found, notes


def table_proposal(path: Path) -> Proposal:
    """The JSON of a table: which columns are real, which are categories, which are left out."""
    table = table_files.read(path)
    columns: dict[str, Any] = {}
    notes: list[str] = []
    found: dict[str, Any] = {"kind": "table", "path": str(path)}
    missing = False
    for name in table.names:
        texts = table.texts(name)
        seen = [text for text in texts if text not in table_files.MISSING]
        levels = sorted(set(seen))
        try:
            numeric = np.isfinite(table.numbers(name)).any()
        except DataError:
            numeric = False
        if (
            name.lower() in ("label", "labels", "target", "class", "y")
            and 2 <= len(levels) <= 100
            and len(seen) == len(texts)
        ):
            found |= {"label": name, "classes": _in_order(levels)}
            notes.append(f"Column '{name}' is taken for the label and not for data.")
            continue
        if len(levels) < 2:
            notes.append(f"Column '{name}' does not vary and is left out.")
        elif numeric and (len(levels) > 2 or set(levels) - _TWO):
            columns[name] = "real"
        elif len(levels) <= min(50, max(2, len(texts) // 2)):
            columns[name] = _in_order(levels)
        else:
            notes.append(f"Column '{name}' holds {len(levels)} different texts and is left out.")
            continue
        if len(levels) >= 2 and len(seen) < len(texts):
            missing = True
            notes.append(f"Column '{name}' is empty in {1 - len(seen) / len(texts):.1%} of the rows.")
    if not columns:
        raise DataError(f"{path} has no column that a model could see: " + " ".join(notes))
    found["columns"] = columns
    if missing:
        found["missing"] = True
    return Proposal(found, notes, [None if levels == "real" else len(levels) for levels in columns.values()])


def _in_order(levels: list[str]) -> list[str]:
    try:
        return sorted(levels, key=float)
    except ValueError:
        return levels


def _evenly(items: Sequence[Any]) -> list[Any]:
    step = max(1, len(items) // _SAMPLE)
    return list(items[::step][:_SAMPLE])
