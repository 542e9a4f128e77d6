"""`inspect` says what data are, and every experiment that `new experiment` writes for them builds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from command_line import call
from vaelab.cli_catalogue import summary
from vaelab.config import parse_experiment
from vaelab.errors import ConfigError, DataError
from vaelab.scaffold import SIZES, VARIANTS, Inspection, inspect_data, new_experiment

SAVED = Path(__file__).parents[1] / "datasets" / "saved"


def pictures(folder: Path, colour: bool, sizes: list[tuple[int, int]], classes: tuple[str, ...] = ("a", "b")) -> Path:
    rng = np.random.default_rng(0)
    for i in range(20):
        height, width = sizes[i % len(sizes)]
        x = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        if not colour:
            x[:] = x[:, :, :1]
        inside = folder / classes[i % len(classes)] if classes else folder
        inside.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x).save(inside / f"{i}.png")
    return folder


def test_pictures(tmp_path: Path) -> None:
    found = inspect_data(str(pictures(tmp_path / "p", True, [(20, 20)])))
    expected = {"kind": "image_folder", "path": str(tmp_path / "p"), "size": 20, "channels": 3}
    assert (found.data, found.spec.num_classes) == (expected, 2)
    assert found.likelihoods[0].likelihood["kind"] == "normal"
    found = inspect_data(str(pictures(tmp_path / "g", False, [(40, 70), (90, 50)], ())))
    assert (found.data["size"], found.data["channels"], found.spec.num_classes) == (32, 1, None)
    assert any("40 to 90 high and 50 to 70 wide" in note for note in found.notes)
    pictures(tmp_path / "split" / "train", True, [(12, 10)])
    pictures(tmp_path / "split" / "test", True, [(12, 10)])
    found = inspect_data(str(tmp_path / "split"))
    assert (found.data["size"], found.sizes) == ([12, 10], {"train": 20, "test": 20})


def save(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return str(path)


def test_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drawn = (rng.random((60, 9, 9)) < 0.3).astype(np.uint8)
    keys = {
        "x_train": drawn * 255,
        "y_train": rng.integers(0, 3, 60),
        "x_test": drawn[:9] * 255,
        "y_test": np.zeros(9, int),
    }
    found = inspect_data(save(tmp_path / "a.npz", **keys))
    assert {"x": "x_train", "y": "y_train", "x_test": "x_test", "y_test": "y_test", "num_classes": 3}.items() <= (
        found.data.items()
    )
    assert (found.spec.shape, found.sizes) == ((1, 9, 9), {"train": 60, "test": 9})
    best = found.likelihoods[0]
    assert (best.likelihood, best.data) == ({"kind": "bernoulli"}, {"binarisation": "dynamic"})
    assert inspect_data(save(tmp_path / "b.npz", x=drawn)).spec.values == "binary"
    assert inspect_data(save(tmp_path / "c.npz", x=rng.random((40, 8, 8, 3)))).data["layout"] == "hwc"
    missing = rng.normal(3, 2, (50, 4))
    missing[0, 0] = np.nan
    found = inspect_data(save(tmp_path / "d.npz", x=missing))
    assert (found.data["values"], found.data["missing"], found.spec.masked) == ("real", True, True)
    steps = inspect_data(save(tmp_path / "e.npz", x=rng.normal(size=(50, 12, 4))))
    assert steps.spec.shape == (12, 4)
    assert any('"layout": "hw"' in note for note in steps.notes)


def test_principal_components_are_those_of_the_data(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 20)) + 0.01 * rng.normal(size=(400, 20))
    np.save(tmp_path / "x.npy", x)
    found = inspect_data(str(tmp_path / "x.npy"))
    variances = np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2
    assert found.components <= 3
    assert variances[: found.components].sum() >= 0.85 * variances.sum()


TABLE = "name,height,colour,smoker,target,constant\n" + "".join(
    f"n{i},{150 + i % 40 + i / 100},{('red', 'green')[i % 2]},{i % 3 // 2},{'yes' if i % 2 else 'no'},1\n"
    for i in range(80)
)


def test_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TABLE)
    found = inspect_data(str(tmp_path / "t.csv"))
    assert found.data["columns"] == {"height": "real", "colour": ["green", "red"], "smoker": ["0", "1"]}
    assert (found.data["label"], found.data["classes"]) == ("target", ["no", "yes"])
    assert found.likelihoods[0].likelihood == {"kind": "mixed_columns", "categorical": [[1, 2], [2, 2]]}
    notes = " ".join(found.notes)
    assert "'name' holds 80 different texts" in notes
    assert "'constant' does not vary" in notes


def test_what_cannot_be_inspected(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"")
    (tmp_path / "x.doc").write_bytes(b"")
    (tmp_path / "none").mkdir()
    for data, words in {"x.pkl": "can run any code", "x.doc": ".parquet", "none": "holds no pictures"}.items():
        with pytest.raises(DataError, match=words):
            inspect_data(str(tmp_path / data))
    for data, words in {
        "mnst": "no file, no folder",
        '{"kind": ': "not JSON",
        '{"kind": "mnist", "rot": 1}': "rot",
    }.items():
        with pytest.raises(ConfigError, match=words):
            inspect_data(data)


def _sources(tmp_path: Path) -> dict[str, Callable[[], Inspection]]:
    rng = np.random.default_rng(0)
    (tmp_path / "t.csv").write_text(TABLE)
    return {
        "digits": lambda: inspect_data("digits"),
        "table": lambda: inspect_data(str(tmp_path / "t.csv")),
        "vectors": lambda: inspect_data(save(tmp_path / "v.npz", x=rng.normal(size=(200, 6)))),
        "steps": lambda: inspect_data(save(tmp_path / "s.npz", x=rng.normal(size=(50, 12, 4)))),
    }


@pytest.mark.parametrize("source", ["digits", "table", "vectors", "steps"])
def test_every_experiment_builds_or_is_refused_with_a_choice(tmp_path: Path, source: str) -> None:
    pytest.importorskip("pyarrow", reason="the extra 'arrow' is not installed")
    found = _sources(tmp_path)[source]()
    refused = set()
    for variant in VARIANTS:
        try:
            content = new_experiment("mine", found, size="small", variant=variant)
        except ConfigError:
            refused.add(variant)
        else:
            assert "parameters" in summary(parse_experiment(content))
    widths = [new_experiment("mine", found, size=size)["model"]["decoder"]["hidden"][0] for size in SIZES]
    assert widths == sorted(set(widths))
    assert (
        refused
        == {"digits": set(), "table": {"vq"}, "vectors": {"vq"}, "steps": {"vamp", "hierarchical", "vq"}}[source]
    )


def test_from_a_table_to_a_trained_model(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(TABLE)
    done = call("inspect", "people.csv", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert json.loads(done.out)["data"]["kind"] == "table"
    shown = call("inspect", "people.csv", cwd=tmp_path)
    for word in ("mixed_columns", "new experiment people --data people.csv", "note: Column 'name'"):
        assert word in shown.out, shown.out
    done = call("new", "experiment", "people", "--data", "people.csv", "--size", "small", cwd=tmp_path)
    assert (done.code, "run people.json" in done.out) == (0, True), done.err
    done = call("run", "people.json", "--set", 'training={"steps":3}', "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert json.loads(done.out)["values"]["negative_elbo"]["value"] is not None
    again = call("new", "experiment", "people", "--data", "people.csv", cwd=tmp_path)
    assert (again.code, "--force" in again.err) == (2, True)
    wrong = call("new", "experiment", "other", "--data", "people.csv", "--variant", "vampp", cwd=tmp_path)
    assert (wrong.code, "vamp" in wrong.err) == (2, True)
    assert not (tmp_path / "other.json").exists()


def test_what_is_left_out_is_asked_for_at_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("digits\nsmall\nbeta\n"))
    done = call("new", "experiment", "asked", cwd=tmp_path)
    assert done.code == 0, done.err
    content: dict[str, Any] = json.loads((tmp_path / "asked.json").read_text())
    assert content["data"]["kind"] == "digits"
    assert content["objective"]["divergences"][0]["weight"]["end"] == 4.0
    assert content["model"]["encoder"]["channels"] == [16]


def test_saved_data_sets() -> None:
    pytest.importorskip("pyarrow", reason="the extra 'arrow' is not installed")
    found = inspect_data(str(SAVED / "pictures"))
    folder = SAVED / "pictures"
    expected = {"path": str(folder / "train"), "test_path": str(folder / "test"), "x": "image", "size": [6, 8]}
    assert expected.items() <= found.data.items()
    assert inspect_data(str(SAVED / "arrays")).data["x"] == "x"
    assert inspect_data(str(SAVED / "scalars")).data["columns"] == {"a": "real", "c": ["x", "y"]}
