"""What a comparison says of runs, on evaluations with known numbers."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import EXPERIMENT
from vaelab.comparison import Difference, compare, metric_configs
from vaelab.comparison.statistics import over_data, over_seeds
from vaelab.config import parse_experiment
from vaelab.errors import ConfigError, RunError

DATA = {
    "source": "made up",
    "binarisation": "static",
    "sizes": {"train": 50, "test": 100},
    "split_rule": "as published",
}
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes a run directory with these values, without a model."""
    numbers = itertools.count()

    def write(
        values: dict[str, float], seed: int = 0, dim: int = 2, data: dict[str, Any] | None = None, **more: Any
    ) -> Path:
        path = tmp_path / f"run{next(numbers)}"
        path.mkdir()
        prior = {"kind": "standard_normal", "dim": dim}
        experiment = parse_experiment({**EXPERIMENT, "seed": seed, "model": {**EXPERIMENT["model"], "prior": prior}})
        (path / "config.json").write_text(experiment.to_json())
        entry = {"stderr": 0.5, "unit": "nats", "better": "lower", **more}
        content = {
            "split": "test",
            "number": 100,
            "seed": 0,
            "batch_size": 10,
            "values": {name: {"value": value, **entry} for name, value in values.items()},
            "data": {**DATA, **(data or {})},
            "metrics": [],
        }
        (path / "evaluation.json").write_text(json.dumps(content))
        return path

    return write


def test_runs_of_one_configuration_are_summed_up_over_seeds(make: Make) -> None:
    one = [make({"nll": value}, seed, dim=2) for seed, value in enumerate((10.0, 11.0, 12.0))]
    other = [make({"nll": 20.0}, 0, dim=4)]
    found = compare([*one, *other])
    assert found.configurations == ["tiny (model.prior.dim=2)", "tiny (model.prior.dim=4)"]
    cell, single = found.cells["nll"]
    assert cell is not None
    assert single is not None
    assert (cell.mean, cell.deviation, cell.values) == (11.0, 1.0, {0: 10.0, 1: 11.0, 2: 12.0})
    assert (single.mean, single.deviation, single.stderr) == (20.0, None, 0.5)
    assert found.best["nll"] is None, "one shared seed says nothing of the difference"


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_the_best_is_marked_where_every_interval_excludes_0(make: Make, better: str) -> None:
    sign = 1 if better == "lower" else -1
    noise = np.random.default_rng(0).normal(size=8)
    runs = []
    for seed, shift in enumerate(noise):
        # the seeds differ by far more than the configurations, which only the pairing sees
        for dim, gap in ((2, 0.0), (3, 0.5), (4, 0.6)):
            wobble = 0.05 * math.sin(7.0 * seed + dim)
            runs.append(make({"nll": 100 + 5 * shift + sign * (gap + wobble)}, seed, dim, better=better))
    found = compare(runs)
    assert found.best["nll"] == 0
    assert found.differences["nll"][0] is None
    for difference, gap in zip(found.differences["nll"][1:], (0.5, 0.6), strict=True):
        assert difference is not None
        assert difference.value == pytest.approx(sign * gap, abs=0.1)
        assert difference.pairs == 8
        assert difference.decided
    four = compare(runs[: 3 * 4])
    assert four.best["nll"] is None, "four seeds are too few"


def test_a_difference_that_may_be_chance_is_not_marked(make: Make) -> None:
    rng = np.random.default_rng(1)
    runs = [make({"nll": float(rng.normal())}, seed, dim) for seed in range(6) for dim in (2, 3)]
    assert compare(runs).best["nll"] is None


def test_the_bootstrap_covers_as_it_says() -> None:
    rng, covered, repeats = np.random.default_rng(0), 0, 300
    for repeat in range(repeats):
        drawn = rng.normal(0.7, 1.0, size=10)
        difference = over_seeds(dict(enumerate(drawn)), dict.fromkeys(range(10), 0.0), seed=repeat)
        assert difference.low is not None
        assert difference.high is not None
        covered += difference.low <= 0.7 <= difference.high
    error = math.sqrt(0.95 * 0.05 / repeats)
    assert abs(covered / repeats - 0.95) < 4 * error


def test_a_bootstrap_of_many_seeds_is_the_normal_interval() -> None:
    drawn = np.random.default_rng(3).normal(size=2000)
    difference = over_seeds(dict(enumerate(drawn)), dict.fromkeys(range(2000), 0.0))
    half = 1.96 * drawn.std(ddof=1) / math.sqrt(2000)
    assert difference.low == pytest.approx(drawn.mean() - half, abs=0.05 * half)
    assert difference.high == pytest.approx(drawn.mean() + half, abs=0.05 * half)


def test_single_runs_are_compared_over_the_data(make: Make) -> None:
    assert over_data((3.0, 0.3), (1.0, 0.4)) == Difference(
        2.0, pytest.approx(1.02, abs=1e-4), pytest.approx(2.98, abs=1e-4), 0, "data"
    )
    assert not over_data((3.0, None), (1.0, 0.4)).decided
    found = compare([make({"nll": 10.0, "elbo": 10.0}, dim=2), make({"nll": 13.0, "elbo": 11.0}, dim=3)])
    assert (found.best["nll"], found.best["elbo"]) == (0, None)
    assert "speaks of these runs" in found.note


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"binarisation": "dynamic"}}, ("binarisation", '"static" and "dynamic"')),
        ({"data": {"split_rule": "half"}}, ("split_rule", "half")),
        ({"data": {"files": {"a": "0"}}}, ("files", "null")),
        ({"data": {"sizes": {"train": 50, "test": 90}}}, ("sizes", "100 and 90")),
        ({"number": 40}, ("number of data", "100 and 40")),
        ({"unit": "bits"}, ("unit", '"nats" and "bits"')),
        ({"extractor": "inception-1234"}, ("extractor", "inception-1234")),
    ],
)
def test_values_of_different_origin_do_not_share_a_column(
    make: Make, changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    runs = [make({"nll": 1.0}), make({"nll": 2.0}, dim=3, **changes)]
    with pytest.raises(ConfigError) as caught:
        compare(runs)
    for word in ("'nll'", str(runs[0]), str(runs[1]), *words):
        assert word in str(caught.value)


def test_more_training_data_may_be_compared(make: Make) -> None:
    sizes = {"sizes": {"train": 5000, "test": 100}}
    assert len(compare([make({"nll": 1.0}), make({"nll": 2.0}, dim=3, data=sizes)]).configurations) == 2


def test_other_numbers_of_samples_are_other_columns(make: Make) -> None:
    runs = [make({"nll_is8": 1.0, "elbo": 2.0}), make({"nll_is128": 1.0, "elbo": 2.0}, dim=3)]
    assert compare(runs).metrics == ["elbo"]
    both = compare(runs, metrics=["nll_is8", "nll_is128"])
    assert both.cells["nll_is8"][1] is None
    assert both.cells["nll_is128"][0] is None
    with pytest.raises(ConfigError, match="no value that all 2 runs have"):
        compare([make({"nll_is8": 1.0}), make({"nll_is128": 1.0}, dim=3)])
    with pytest.raises(ConfigError, match=r"no run has a value 'nll_is5'\. There are: nll_is8, elbo"):
        compare(runs, metrics=["nll_is5"])


def test_the_same_run_or_seed_twice_is_refused(make: Make, tmp_path: Path) -> None:
    run = make({"nll": 1.0})
    with pytest.raises(ConfigError, match="named twice"):
        compare([run, run])
    with pytest.raises(ConfigError, match="same configuration and the seed 0"):
        compare([run, make({"nll": 2.0})])
    (run / "evaluation.json").unlink()
    with pytest.raises(RunError, match="not evaluated on the test split yet"):
        compare([run])


def test_files_hold_every_number(make: Make, tmp_path: Path) -> None:
    runs = [make({"nll": 10.0 + dim + seed}, seed, dim) for seed in (0, 1) for dim in (2, 3)]
    found = compare(runs)
    paths = found.write(tmp_path / "out")
    assert [path.name for path in paths] == ["comparison.json", "comparison.csv", "comparison.md"]
    content = json.loads(paths[0].read_text())
    assert content["cells"]["nll"][1]["mean"] == 13.5
    lines = list(csv.DictReader(io.StringIO(paths[1].read_text())))
    assert {(line["configuration"], line["seed"], float(line["value"])) for line in lines} == {
        (f"tiny (model.prior.dim={dim})", str(seed), 10.0 + dim + seed) for seed in (0, 1) for dim in (2, 3)
    }
    text = paths[2].read_text()
    assert "| tiny (model.prior.dim=2) | 12.50 ± 0.71 (2) |" in text
    assert "less the best mean is 1 in [1, 1] over 2 shared seeds" in text


def test_metrics_of_the_command_line_are_validated() -> None:
    kinds = [config.kind for config in metric_configs(["negative_elbo", '{"kind": "importance_nll", "samples": 3}'])]
    assert kinds == ["negative_elbo", "importance_nll"]
    with pytest.raises(ConfigError, match="no JSON"):
        metric_configs(["{kind: x}"])
    with pytest.raises(ConfigError, match=r"(?s)--metric.*Did you mean 'samples'"):
        metric_configs(['{"kind": "importance_nll", "sample": 3}'])
    with pytest.raises(ConfigError, match="unknown metric kind 'fidd'"):
        metric_configs(["fidd"])
