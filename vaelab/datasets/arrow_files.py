"""Files of Apache Arrow: Parquet, Feather, and folders that `save_to_disk` of the library `datasets` wrote.

They are read with pyarrow, which comes with the extra `arrow`. The library `datasets` is not needed: a saved data set is a
folder of Arrow streams with a JSON file that says what its columns are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vaelab.errors import DataError
from vaelab.types import Shape, numel

SUFFIXES = (".parquet", ".feather")


def is_saved(path: Path) -> bool:
    """Whether a folder is a data set that `save_to_disk` wrote."""
    return (path / "state.json").is_file() and (path / "dataset_info.json").is_file()


def saved_splits(path: Path) -> list[str]:
    """Names of the splits of a folder that holds several saved data sets, or none."""
    described = path / "dataset_dict.json"
    if not described.is_file():
        return []
    return [str(name) for name in _object(described).get("splits", ()) if is_saved(path / str(name))]


def features(path: Path) -> dict[str, dict[str, Any]]:
    """What the columns of a saved data set are, by name, as `datasets` describes them.

    Raises:
        DataError: the folder is none.
    """
    if splits := saved_splits(path):
        names = ", ".join(f"'{path / name}'" for name in splits)
        raise DataError(f"{path} holds several data sets; name one of {names} as the path, and one as the test_path")
    if not is_saved(path):
        raise DataError(
            f"{path} is no data set that `save_to_disk` wrote: it holds no state.json and dataset_info.json"
        )
    found = _object(path / "dataset_info.json").get("features")
    if not isinstance(found, dict) or not all(isinstance(value, dict | list) for value in found.values()):
        raise DataError(f"{path / 'dataset_info.json'}: 'features' does not say what the columns are")
    # older versions write a sequence as a list of one
    return {name: value if isinstance(value, dict) else {"_type": "List"} for name, value in found.items()}


def class_names(feature: dict[str, Any] | None) -> list[str] | None:
    """The classes of a column of labels, or None."""
    names = (feature or {}).get("names")
    return [str(name) for name in names] if isinstance(names, list) else None


def files(path: Path) -> list[Path]:
    """The files that hold the rows of a saved data set, in order, or the file itself."""
    if path.suffix in SUFFIXES and not path.is_dir():
        return [path]
    features(path)
    listed = _object(path / "state.json").get("_data_files")
    names = [entry.get("filename") for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    for name in names:
        # a name must not lead out of the folder
        if not isinstance(name, str) or Path(name).name != name:
            raise DataError(f"{path / 'state.json'} names a file {name!r} that is not in the folder")
    if not names:
        raise DataError(f"{path / 'state.json'} names no files of data")
    return [path / str(name) for name in names]


def read(path: Path) -> Any:
    """A table of pyarrow, mapped from the disk where it can be.

    Raises:
        DataError: it cannot be read, or pyarrow is not installed.
    """
    pa = _pyarrow(path)
    with _explained(path):
        if path.suffix == ".parquet":
            import pyarrow.parquet

            return pyarrow.parquet.read_table(path)
        if path.suffix == ".feather":
            import pyarrow.feather

            return pyarrow.feather.read_table(path)
        parts = []
        for file in files(path):
            source = pa.memory_map(str(file))
            parts.append(pa.ipc.open_stream(source).read_all())
        return pa.concat_tables(parts)


def names(path: Path) -> list[str]:
    """Names of the columns, from what stands before the rows.

    Raises:
        DataError: as `read`.
    """
    if path.is_dir():
        return list(features(path))
    pa = _pyarrow(path)
    with _explained(path):
        if path.suffix == ".parquet":
            import pyarrow.parquet

            return list(pyarrow.parquet.read_schema(path).names)
        with pa.memory_map(str(path)) as source:
            return list(pa.ipc.open_file(source).schema.names)


def numbers(column: Any) -> np.ndarray | None:
    """A column as float64 with NaN where nothing stands, or None where it holds no numbers."""
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    known = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean, pa.types.is_decimal)
    if not any(test(kind) for test in known):
        return None
    plain = column.cast(kind) if kind is not column.type else column
    values = (
        [np.nan if value is None else float(value) for value in plain.to_pylist()]
        if (pa.types.is_decimal(kind) or pa.types.is_boolean(kind))
        else plain.cast(pa.float64(), safe=False).to_numpy()
    )
    return np.array(values, dtype=np.float64)  # a copy, as what pyarrow lends must not be written


def array(path: Path, table: Any, name: str, shape: Shape) -> np.ndarray:
    """A column of nested lists as an array `[N, *shape]`.

    Raises:
        DataError: a datum is missing or has another shape.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # of no chunks at all
        raise DataError(f"{path}: column '{name}' is empty")
    if isinstance(column.type, pa.ExtensionType):  # where the library `datasets` is imported too
        column = column.storage
    count = len(column)
    for size in shape:
        lengths = pc.list_value_length(column)
        if column.null_count or pc.any(pc.not_equal(lengths, size)).as_py():
            raise DataError(f"{path}: column '{name}' holds data that are not all of the shape {shape}")
        column = column.flatten()
    if column.null_count:
        raise DataError(f"{path}: column '{name}' holds numbers that are missing")
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)):
        raise DataError(f"{path}: column '{name}' holds {column.type}, and only numbers are read")
    flat = column.to_numpy(zero_copy_only=False)
    assert flat.size == count * numel(shape)
    return flat.reshape(count, *shape)


def _object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is no JSON object")
    return content


def _pyarrow(path: Path) -> Any:
    if path.suffix not in SUFFIXES and not path.is_dir():
        known = ".csv, .tsv, .parquet, .feather"
        raise DataError(f"{path}: tables are read from {known} files and from folders of `save_to_disk`")
    try:
        import pyarrow
    except ModuleNotFoundError as error:
        raise DataError(f"{path} is read with pyarrow, which is not installed: pip install 'vaelab[arrow]'") from error
    return pyarrow


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
