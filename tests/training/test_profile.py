"""A profile: where the time of a step went, of a run that does not notice."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from torch._C._autograd import DeviceType

import vaelab
from vaelab.profiling import profiled
from vaelab.profiling.flame import flame_graph
from vaelab.profiling.profile import Plan
from vaelab.profiling.tables import Measured, Rare, as_json, as_markdown
from vaelab.profiling.tree import Tree, read
from vaelab.training import StoppedError, Trainer

Make = Callable[..., tuple[Trainer, Any]]

#: Names that each case must show.
CASES = [
    ("flat", "elbo", {"ema": 0.99, "accumulate": 2}, {"averaging", "divergence kl"}),
    ("flat", "adversary", {}, {"adversary of adversarial_tc", "divergence adversarial_tc"}),
    ("hierarchy", "elbo", {"checkpoint_every": 7}, {"prior / encoder", "prior / posterior"}),
]
ALWAYS = {
    "data",
    "encoder",
    "posterior",
    "prior",
    "decoder",
    "likelihood",
    "objective",
    "backward",
    "optimiser",
    "guard",
}


@pytest.mark.parametrize(
    ("model", "objective", "training", "names"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES]
)
def test_same_bits(
    make_trainer: Make, tmp_path: Path, model: str, objective: str, training: dict[str, Any], names: set[str]
) -> None:
    length = {"epochs": None, "steps": 12, **training}
    plain, plain_lines = make_trainer(model, objective, folder="plain", **length)
    plain.train()
    watched, watched_lines = make_trainer(model, objective, folder="watched", **length)
    with profiled(watched, tmp_path / "profile", {"name": model}):
        watched.train()
    left, right = plain.update.forward.state_dict(), watched.update.forward.state_dict()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert plain_lines.lines == watched_lines.lines
    for owner in (watched, watched.update, watched.model.encoder, watched.model.prior, watched.objective):
        assert not {"take", "save", "features", "group", "backward"} & vars(owner).keys()

    content = json.loads((tmp_path / "profile" / "profile.json").read_text())
    parts = {part["name"]: part for part in content["parts"]}
    assert parts.keys() >= ALWAYS | names
    assert sum(part["share"] for part in content["parts"]) == pytest.approx(1, abs=1e-3)
    assert parts["encoder"]["backward_us"] > 0
    assert not any(parts[name]["backward_us"] for name in ("data", "sums of terms", "guard", "optimiser"))
    plan = Plan.of(12)
    assert plan is not None
    assert content["profiled_steps"] == plan.profiled
    assert {each["name"]: each["times"] for each in content["rare"]}["logging"] == len(
        [line for line in plain_lines.lines if line["split"] == "train"]
    )
    assert "| encoder |" in (tmp_path / "profile" / "profile.md").read_text()
    ElementTree.parse(tmp_path / "profile" / "flame.svg")
    with gzip.open(tmp_path / "profile" / "trace.json.gz") as file:
        assert any(event.get("name") == "vaelab:encoder" for event in json.load(file)["traceEvents"])


def _event(name: str, start: float, end: float, sequence: int = -1, thread: int = 1) -> SimpleNamespace:
    return SimpleNamespace(
        name=name,
        thread=thread,
        time_range=SimpleNamespace(start=start, end=end),
        sequence_nr=sequence,
        is_async=False,
        device_type=DeviceType.CPU,
        self_device_time_total=0.0,
    )


#: One step of 100 microseconds: an encoder in the objective, logging, and a backward pass through both.
STEP = [
    _event("aten::before", -5, -1),
    _event("ProfilerStep*", 0, 100),
    _event("vaelab:data", 0, 10),
    _event("aten::detach", 2, 3, sequence=7),
    _event("vaelab:objective", 10, 50),
    _event("vaelab:encoder", 15, 40),
    _event("aten::mm", 20, 35, sequence=7),
    _event("aten::add", 41, 45, sequence=8),
    _event("vaelab:logging", 50, 60),
    _event("aten::item", 51, 59),
]
BACKWARD = [
    ("vaelab:backward", 60, 95, -1),
    ("autograd::engine::evaluate_function: AddBackward0", 62, 66, 8),
    ("autograd::engine::evaluate_function: MmBackward0", 66, 90, 7),
    ("MmBackward0", 67, 89, 7),
    ("aten::mm", 70, 88, -1),
]


def _one_step() -> Tree:
    return read([*STEP, *(_event(*each) for each in BACKWARD)], without=["logging"])


def test_parts_by_hand() -> None:
    tree = _one_step()
    assert tree.steps == 1
    assert tree.root.total == 90
    expected = {
        "data": (10, 0),
        "objective": (40 - 25, 4),
        "encoder": (25, 24),
        "backward": (35 - 4 - 24, 0),
        "between the parts": (5, 0),
    }
    assert {name: (part.forward, part.backward) for name, part in tree.parts.items()} == expected
    assert tree.operations["aten::mm"].own == 15 + 18
    assert tree.operations["aten::mm"].number == 2
    assert "aten::item" not in tree.operations
    assert tree.root.children["backward"].children["of encoder"].total == 24


def test_a_backward_pass_of_another_thread_is_not_counted_twice() -> None:
    waiting, *work = BACKWARD
    tree = read([*STEP, _event(*waiting), *(_event(*each, thread=2) for each in work)], without=["logging"])
    assert tree.parts["encoder"].backward == 24
    assert tree.parts["backward"].forward == 35 - 4 - 24
    assert sum(part.total for part in tree.parts.values()) == tree.root.total


def test_names_are_shown_and_not_obeyed() -> None:
    name = 'x<script>alert("1")</script>|y\x00'
    tree = read([_event("ProfilerStep*", 0, 100), _event(f"vaelab:{name}", 0, 90)])
    drawn = flame_graph(tree, {"name": name})
    assert "<script>" not in drawn
    titles = [element.text for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}title")]
    assert any("<script>" in str(title) for title in titles)
    measured = Measured(tree, 1e-4, {"logging": Rare(1e-3, 2)}, 10, {"name": name})
    assert "<script>" not in as_markdown(measured)
    assert as_json(measured)["rare"] == [{"name": "logging", "times": 2, "each_us": 500.0, "a_step_us": 100.0}]


@pytest.mark.parametrize("steps", [8, 20, 51, 52, 10_000])
def test_plan_fits(steps: int) -> None:
    plan = Plan.of(steps)
    assert plan is not None
    assert plan.warm + plan.timed + plan.settled + plan.profiled <= steps
    assert min(plan.warm, plan.timed, plan.settled, plan.profiled) > 0


def test_too_few_steps(make_trainer: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer, _ = make_trainer(epochs=None, steps=5)
    with caplog.at_level(logging.WARNING, "vaelab"), profiled(trainer, tmp_path / "profile", {}):
        trainer.train()
    assert trainer.step == 5
    assert "a profile needs 8 steps, and 5 are left" in caplog.text
    assert not (tmp_path / "profile").exists()


@pytest.mark.parametrize("stop", [2, 9], ids=["before", "amid"])
def test_a_stopped_run_leaves_what_it_has(make_trainer: Make, tmp_path: Path, stop: int) -> None:
    trainer, recorder = make_trainer(epochs=None, steps=12)

    def ask(step: int) -> None:
        trainer.stop_requested = step == stop

    recorder.on_step = ask
    with pytest.raises(StoppedError), profiled(trainer, tmp_path / "profile", {"name": "stopped"}):
        trainer.train()
    assert (tmp_path / "profile" / "profile.json").exists() == (stop == 9)


def test_a_whole_run(tmp_path: Path) -> None:
    experiment = {
        "data": {"kind": "digits", "binarisation": "threshold", "train_limit": 64, "test_limit": 8},
        "model": {
            "encoder": {"kind": "mlp", "hidden": [8]},
            "posterior": "diagonal_normal",
            "prior": {"kind": "standard_normal", "dim": 2},
            "decoder": {"kind": "mlp", "hidden": [8]},
            "likelihood": "bernoulli",
        },
        "training": {"steps": 12, "batch_size": 8},
        "evaluation": {"metrics": [], "figures": [], "report": False},
    }
    run = vaelab.train(experiment, tmp_path, profile=True)
    content = json.loads((run.directory.profile / "profile.json").read_text())
    assert content["batch"] == 8
    assert content["step_us"] > 0
