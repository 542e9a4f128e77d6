"""CSV, TSV, Parquet and Feather tables: what pandas writes is what arrives, or one message says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from vaelab.datasets.table import OwnTable, TableConfig
from vaelab.errors import BuildError, DataError
from vaelab.types import DataSplits

pytest.importorskip("pyarrow", reason="the extra 'arrow' is not installed")

COLUMNS = {"age": "real", "city": ["Oslo", "Paris", "Rome"], "member": ["False", "True"], "income": "real"}


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.normal(40, 10, 60).round(3),
            "city": rng.choice(["Rome", "Paris", "Oslo"], 60),
            "member": rng.choice([True, False], 60),
            "income": rng.lognormal(10, 1, 60).round(2),
            "bought": rng.choice(["yes", "no"], 60),
        }
    )


def write(frame: pd.DataFrame, folder: Path, suffix: str) -> str:
    path = folder / f"table{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    elif suffix == ".tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_feather(path)
    return str(path)


def load(path: str, **keys: Any) -> DataSplits:
    return OwnTable(TableConfig.model_validate({"path": path, **keys})).load()


def everything(splits: DataSplits) -> tuple[torch.Tensor, torch.Tensor | None]:
    batches = [split.fetch(torch.arange(len(split))) for split in (splits.train, splits.test)]
    ys = [batch.y for batch in batches]
    return torch.cat([b.x for b in batches]), None if ys[0] is None else torch.cat(ys)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".feather"])
def test_columns_are_what_pandas_says(frame: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
    path = write(frame, tmp_path, suffix)
    keys = {"columns": COLUMNS, "label": "bought", "classes": ["no", "yes"]}
    dataset = OwnTable(TableConfig.model_validate({"path": path, **keys}))
    assert (dataset.spec.shape, dataset.spec.values, dataset.spec.num_classes) == ((4,), "real", 2)
    splits = dataset.load()
    assert splits.provenance["sizes"] == {"train": 54, "validation": 0, "test": 6}
    x, y = everything(splits)
    # the same rows, found again by their label and income
    mean, deviation = splits.provenance["standardised"]["income"]
    order = np.array([int((frame.income - v).abs().argmin()) for v in (x[:, 3] * deviation + mean).tolist()])
    assert sorted(order) == list(range(60))
    shuffled = frame.iloc[order]
    assert y is not None
    assert y.tolist() == (shuffled.bought == "yes").astype(int).tolist()
    assert x[:, 1].tolist() == shuffled.city.map({"Oslo": 0, "Paris": 1, "Rome": 2}).tolist()
    assert x[:, 2].tolist() == shuffled.member.astype(int).tolist()
    train = shuffled.iloc[:54]
    assert mean == pytest.approx(train.income.mean())
    assert deviation == pytest.approx(train.income.std(ddof=0))
    np.testing.assert_allclose(x[:, 0], (shuffled.age - train.age.mean()) / train.age.std(ddof=0), rtol=1e-5, atol=1e-5)


def test_the_scale_is_that_of_the_training_rows_alone(frame: pd.DataFrame, tmp_path: Path) -> None:
    """What lies in the test rows must not change what the model is trained on."""
    path = write(frame, tmp_path, ".csv")
    keys: dict[str, Any] = {"columns": {"age": "real"}, "validation": 10, "train_limit": 30}
    before = load(path, **keys)
    rows = before.train.fetch(torch.arange(30)).x
    assert abs(float(rows.mean())) < 1e-6
    assert float(rows.std(correction=0)) == pytest.approx(1, abs=1e-6)
    scale = before.provenance["standardised"]["age"]
    held = before.test.fetch(torch.arange(len(before.test))).x.double() * scale[1] + scale[0]
    changed = frame.copy()
    for value in held.flatten().tolist():
        changed.loc[(changed.age - value).abs() < 1e-3, "age"] = 1e6
    after = load(write(changed, tmp_path, ".csv"), **keys)
    assert torch.equal(after.train.fetch(torch.arange(30)).x, rows)


def test_without_columns_all_but_the_label_are_real(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,0\n3,5,1\n5,8,2\n")
    splits = load(str(tmp_path / "t.csv"), label="y", standardise=False, test_fraction=0.3)
    x, y = everything(splits)
    assert sorted(x.tolist()) == [[1, 2], [3, 5], [5, 8]]
    assert y is not None
    assert ((x[:, 0] - 1) / 2).tolist() == y.tolist()
    assert splits.provenance["standardised"] == {}


def test_missing_fields_are_a_mask(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.loc[3, "income"] = np.nan
    frame.loc[5, "city"] = None
    for suffix in (".csv", ".parquet"):
        path = write(frame, tmp_path, suffix)
        splits = load(path, columns=COLUMNS, missing=True)
        assert splits.train.spec.masked
        batches = [s.fetch(torch.arange(len(s))) for s in (splits.train, splits.test)]
        hidden = torch.cat([~b.observed for b in batches])
        assert hidden.sum(0).tolist() == [0, 1, 0, 1]
        with pytest.raises(DataError, match=r"column 'city' is empty in row 6.*\"missing\": true"):
            load(path, columns=COLUMNS)


def test_a_test_file_is_scaled_like_the_training_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n0\n2\n")
    (tmp_path / "b.csv").write_text("x\n11\n")
    splits = load(str(tmp_path / "a.csv"), test_path=str(tmp_path / "b.csv"))
    assert splits.test.fetch(torch.tensor([0])).x.item() == 10.0


@pytest.mark.parametrize(
    ("text", "keys", "words"),
    [
        ("a,b\n1,2,3\n", {}, "row 2 has 3 fields and the header 2"),
        ("a,a\n1,2\n", {}, "two columns are named 'a'"),
        (",a\n0,2\n", {}, "column 1 has no name.*index=False"),
        ("", {}, "is empty"),
        ("a\n", {}, "has no rows"),
        ("a\n1\nx\n", {}, "column 'a' holds 'x' in row 2.*inspect"),
        ("a\n1\ninf\n", {}, "infinite in row 2"),
        ("a\n1\n1\n1\n", {}, "'a' does not vary"),
        ("a\nr\ng\n", {"columns": {"a": ["r", "b"]}}, "'g' in row 2, which is none of its levels: r, b"),
        ("age\n1\n2\n", {"columns": {"aeg": "real"}}, "no column 'aeg'. Did you mean 'age'"),
        ("a,y\n1,no\n2,yes\n", {"label": "y", "columns": {"a": "real"}}, "no number"),
        ("a,y\n1,0.5\n2,1\n", {"label": "y"}, "no whole number from 0 in row 1"),
        ('a\n"1\n2\n', {}, "not a table"),
        (b"a\n\xff\n", {}, "UTF-8"),
    ],
)
def test_what_is_no_table_is_explained(tmp_path: Path, text: str | bytes, keys: dict[str, Any], words: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=words):
        load(str(path), **keys)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.csv cannot be read"):
        load(str(tmp_path / "absent.csv"))
    (tmp_path / "t.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(DataError, match=r"t\.parquet cannot be read"):
        load(str(tmp_path / "t.parquet"), columns={"a": "real"})
    (tmp_path / "t.xlsx").write_bytes(b"")
    with pytest.raises(DataError, match=r"\.csv, \.tsv, \.parquet, \.feather"):
        load(str(tmp_path / "t.xlsx"))
    with pytest.raises(BuildError, match="binarise"):
        _ = OwnTable(TableConfig(path="t.csv", binarisation="dynamic")).spec


def test_columns_of_saved_data_sets_are_a_table_too() -> None:
    folder = Path(__file__).parent / "saved" / "scalars"
    splits = load(str(folder), columns={"a": "real", "c": ["x", "y"]}, standardise=False)
    x, _ = everything(splits)
    assert sorted(x.tolist()) == [[1, 0], [2, 1], [3, 0]]
