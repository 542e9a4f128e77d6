"""The figures of papers: their files, what is judged of them, and how little is trained for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import vaelab
from command_line import ROOT, call
from faults.runs import experiment
from vaelab.config import Experiment, parse_experiment
from vaelab.errors import ConfigError, StoppedError
from vaelab.registry import ComponentConfig
from vaelab.reproduce import (
    Difference,
    Figure,
    Order,
    Paper,
    over_seeds,
    read_paper,
    read_papers,
    run_of,
    values_of,
    verdicts,
)
from vaelab.trackers import RunInfo, Tracker

SHIPPED = read_papers(ROOT / "experiments" / "papers")
CONTENT = experiment("baseline", epochs=1, figures=())


def value(number: float, better: str = "lower", stderr: float | None = None) -> dict[str, Any]:
    return {"value": number, "better": better, "stderr": stderr}


def figure(**keys: Any) -> Figure:
    return Figure(what="a", where="table 1", value="nll", **keys)


def judged(paper: Paper, **values: dict[str, Any]) -> list[bool | None]:
    return [v.reached for v in verdicts(paper, {name: {"nll": found} for name, found in values.items()})]


# What is judged


def test_a_figure_is_reached_where_ours_is_better_or_a_little_worse():
    paper = Paper(title="t", source="s", figures={"a": figure(published=86.76, within=0.5)})
    assert judged(paper, a=value(87.2)) == [True]
    assert judged(paper, a=value(80.0)) == [True]
    assert judged(paper, a=value(87.3)) == [False]
    assert judged(paper) == [None]


def test_of_a_value_that_is_better_the_higher_it_is_less_is_worse():
    paper = Paper(title="t", source="s", figures={"a": figure(published=0.5, within=0.1)})
    assert judged(paper, a=value(0.45, "higher")) == [True]
    assert judged(paper, a=value(0.9, "higher")) == [True]
    assert judged(paper, a=value(0.3, "higher")) == [False]


def test_a_difference_may_be_off_on_neither_side():
    gain = Difference(what="gain", of="a", less="b", value="nll", published=3.0, within=0.5)
    paper = Paper(title="t", source="s", figures={"a": figure(), "b": figure()}, differences=(gain,))
    assert judged(paper, a=value(88.0), b=value(85.2)) == [True]
    assert judged(paper, a=value(88.0), b=value(84.0)) == [False]
    assert judged(paper, a=value(88.0), b=value(86.0)) == [False]
    assert judged(paper, a=value(88.0)) == [None]
    [verdict] = verdicts(paper, {"a": {"nll": value(88.0, stderr=0.3)}, "b": {"nll": value(85.0, stderr=0.4)}})
    assert verdict.error == pytest.approx(0.5)
    assert verdict.difference == pytest.approx(0.0)


def test_an_order_names_the_best_first():
    order = Order(what="order", experiments=("a", "b"), value="nll")
    paper = Paper(title="t", source="s", figures={"a": figure(), "b": figure()}, orders=(order,))
    assert judged(paper, a=value(1.0), b=value(2.0)) == [True]
    assert judged(paper, a=value(2.0), b=value(1.0)) == [False]
    assert judged(paper, a=value(2.0, "higher"), b=value(1.0, "higher")) == [True]
    assert judged(paper, a=value(1.0)) == [None]
    [verdict] = verdicts(paper, {"a": {"nll": value(1.0, stderr=0.3)}, "b": {"nll": value(3.0, stderr=0.4)}})
    assert (verdict.difference, verdict.error) == (2.0, pytest.approx(0.5))
    three = paper.model_copy(update={"orders": (Order(what="order", experiments=("a", "b", "a/c"), value="nll"),)})
    [verdict] = verdicts(
        three, {"a": {"nll": value(0.9, "higher"), "c": value(0.4)}, "b": {"nll": value(0.6, "higher")}}
    )
    assert (verdict.difference, verdict.error) == (pytest.approx(0.2), None)
    [verdict] = verdicts(
        three, {"a": {"nll": value(0.9, "higher"), "c": value(0.8)}, "b": {"nll": value(0.6, "higher")}}
    )
    assert verdict.difference == pytest.approx(-0.2)


def test_an_order_may_be_of_several_values_of_one_experiment():
    order = Order(what="order", experiments=("a", "a/mean", "b"), value="nll")
    paper = Paper(title="t", source="s", figures={"a": figure(), "b": figure()}, orders=(order,))
    values = {"a": {"nll": value(1.0), "mean": value(2.0)}, "b": {"nll": value(3.0)}}
    [verdict] = verdicts(paper, values)
    assert (verdict.reached, verdict.experiments) == (True, ("a", "b"))
    values["a"]["mean"] = value(4.0)
    [verdict] = verdicts(paper, values)
    assert (verdict.reached, verdict.ours) == (False, "a before b before a/mean")


def test_of_several_seeds_the_mean_counts():
    found = [
        {"nll": value(n, stderr=9.0), "some": value(n) if n < 3 else {**value(0.0), "value": None}}
        for n in (1.0, 2.0, 6.0)
    ]
    averaged = over_seeds(found)
    assert averaged["nll"] == {"value": 3.0, "stderr": pytest.approx(7**0.5 / 3**0.5), "better": "lower"}
    assert "some" not in averaged, "a number that one of them lacks has no mean"
    assert over_seeds(found[:1]) == found[0]
    assert over_seeds([]) == {}


# The files


def measures(experiment: Experiment, value: str) -> bool:
    return any(
        value == f"nll_is{metric.samples}" if metric.kind == "importance_nll" else value.startswith(metric.kind)
        for metric in experiment.evaluation.metrics
    )


@pytest.mark.parametrize("paper", SHIPPED, ids=lambda paper: paper.name)
def test_the_papers_experiments_measure_what_is_published(paper: Paper):
    for name, found in paper.figures.items():
        for short in (False, True) if found.short else (False,):
            config = paper.experiment(name, short=short)
            wanted = found.short.value if short and found.short else found.value
            assert config.name == (found.experiment or name)
            assert measures(config, wanted), f"{name} does not measure {wanted}"
    for order in paper.orders:
        for _, name, value in order.places():
            assert measures(paper.experiment(name), value), f"{name} does not measure {value}"


def test_mistakes_in_the_file_name_their_place(tmp_path: Path):
    path = tmp_path / "published.toml"
    head = 'title = "t"\nsource = "s"\n'
    good = '[figures.a]\nwhat = "w"\nwhere = "t"\nvalue = "nll"\n'
    for text, message in (
        ("title = ", "cannot be read"),
        (head + good + "publishd = 3\n", r"\$\.figures\.a\.publishd: unknown key"),
        (head + good, "no experiment a.json"),
        (head + '[[orders]]\nwhat = "w"\nexperiments = ["a", "b"]\nvalue = "nll"\n', "no figure of a, b"),
        (head + '[[differences]]\nwhat = "w"\n', r"\$\.differences\[0\]\.of: is required"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            read_paper(path)
    with pytest.raises(ConfigError, match="no paper here"):
        read_papers(tmp_path / "nothing")


# The work


class Stop(Tracker[Any]):
    """Stops the training after some lines."""

    def __init__(self) -> None:
        super().__init__(ComponentConfig(kind="stop"))

    def start(self, run: RunInfo) -> None: ...

    def log(self, line: Mapping[str, Any]) -> None:
        if line["step"] >= 6:
            raise StoppedError("stopped")

    def figure(self, name: str, path: Path) -> None: ...

    def finish(self, summary: Mapping[str, float]) -> None: ...

    def close(self, *, failed: bool) -> None: ...


def test_a_run_that_was_stopped_goes_on_and_one_that_is_finished_is_taken(tmp_path: Path):
    wanted = parse_experiment(experiment("baseline", epochs=3, figures=()))
    with pytest.raises(StoppedError):
        vaelab.train(wanted, tmp_path, trackers=[Stop()])
    [stopped] = (tmp_path / "baseline").iterdir()
    assert values_of(wanted, tmp_path) is None
    run = run_of(wanted, tmp_path)
    assert run.path == stopped
    assert values_of(wanted, tmp_path) == run.evaluation["values"]
    before = run.directory.weights.stat().st_mtime_ns
    assert run_of(wanted, tmp_path).path == stopped
    assert run.directory.weights.stat().st_mtime_ns == before
    run.directory.evaluation_of("test").unlink()
    assert run_of(wanted, tmp_path).path == stopped
    assert values_of(wanted, tmp_path) == run.evaluation["values"]
    # killed while it was evaluated: the weights are there, and the status still says that it is running
    run.directory.evaluation_of("test").unlink()
    run.directory.update_manifest(status="running")
    spent = run.directory.read_manifest()["processor_seconds"]
    assert run_of(wanted, tmp_path).path == stopped
    assert values_of(wanted, tmp_path) == run.evaluation["values"]
    manifest = run.directory.read_manifest()
    assert manifest["status"] == "finished"
    assert manifest["processor_seconds"] >= spent
    assert run_of(wanted, tmp_path, again=True).path != stopped
    other = wanted.model_copy(update={"seed": wanted.seed + 1})
    assert values_of(other, tmp_path) is None, "another seed is another experiment"


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """A paper with one figure that a run of a second reaches, one that none does, and a short version."""
    folder = tmp_path / "papers" / "somebody-2000"
    folder.mkdir(parents=True)
    for name in ("easy", "hard"):
        (folder / f"{name}.json").write_text(json.dumps({**CONTENT, "name": name}))
    (folder / "published.toml").write_text(
        """
        title = "Somebody (2000)"
        source = "nowhere"
        [short]
        "seed" = 3
        "evaluation.metrics" = ["negative_elbo"]
        [figures.easy]
        what = "an easy one"
        where = "table 1"
        value = "negative_elbo"
        published = 1e4
        [figures.easy.short]
        set = {"evaluation.metrics" = ["reconstruction"]}
        value = "reconstruction_mse"
        expected = 0.5
        within = 0.5
        [figures.hard]
        what = "a hard one"
        where = "table 1"
        value = "negative_elbo"
        published = 1.0
        """
    )
    return folder.parent


def test_a_short_version_has_the_settings_that_all_of_the_paper_have_and_before_them_its_own(papers: Path):
    [paper] = read_papers(papers)
    short, whole = (paper.experiment("easy", short=short) for short in (True, False))
    assert (short.seed, [metric.kind for metric in short.evaluation.metrics]) == (3, ["reconstruction"])
    assert (whole.seed, whole.training) == (CONTENT["seed"], short.training)


def test_the_command_trains_what_is_asked_for_and_says_what_is_reached(tmp_path: Path, papers: Path):
    places = ("--papers", str(papers), "--out", str(tmp_path / "runs"))
    nothing = call("reproduce", "--judge", "--json", *places, cwd=tmp_path)
    assert nothing.code == 0
    assert [verdict["reached"] for verdict in json.loads(nothing.out)] == [None, None]
    one = call("reproduce", "easy", "--json", *places, cwd=tmp_path)
    assert one.code == 0, one.err
    [verdict] = json.loads(one.out)
    assert verdict["reached"] is True
    assert not (tmp_path / "runs" / "hard").exists()
    both = call("reproduce", "somebody-2000", *places, cwd=tmp_path)
    assert both.code == 7
    assert "1 of 2 are not reached: hard (a hard one)" in both.err
    assert "somebody-2000" in both.out
    assert len(list((tmp_path / "runs" / "easy").iterdir())) == 1, "the run that was there is taken"
    short = call("reproduce", "--short", "--json", *places, cwd=tmp_path)
    assert short.code == 0, short.err
    [verdict] = json.loads(short.out)
    assert (verdict["value"], verdict["reached"]) == ("reconstruction_mse", True)
    unknown = call("reproduce", "esy", *places, cwd=tmp_path)
    assert unknown.code == 2
    assert "Did you mean 'easy'?" in unknown.err
