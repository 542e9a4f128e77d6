"""A run that was stopped and resumed ends with the same bits as one that was not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vaelab.errors import RunError
from vaelab.files import sha256
from vaelab.training import StoppedError, Trainer
from vaelab.training.checkpoint import checkpoints, load_checkpoint

Make = Callable[..., tuple[Trainer, Any]]

CASES = [
    ("flat", "elbo", {"ema": 0.99, "accumulate": 2}),
    ("flat", "iwae", {"optimiser": {"kind": "sgd", "lr": {"kind": "cosine", "start": 0.01}, "momentum": 0.9}}),
    ("flat", "adversary", {}),
    ("codes", "codes", {}),
    ("hierarchy", "elbo", {"early_stopping": {"metric": "negative_elbo", "patience": 50}, "optimiser": "adamax"}),
]


@pytest.mark.parametrize(("model", "objective", "training"), CASES, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("stop", [1, 4, 6])
def test_bit_for_bit(make_trainer: Make, model: str, objective: str, training: dict[str, Any], stop: int) -> None:
    whole, whole_lines = make_trainer(model, objective, folder="whole", **training)
    whole.train()

    first, first_lines = make_trainer(model, objective, folder="parts", **training)

    def ask(step: int) -> None:
        first.stop_requested = step == stop

    first_lines.on_step = ask
    with pytest.raises(StoppedError):
        first.train()
    torch.rand(17)  # whatever else the process draws must not matter

    second, second_lines = make_trainer(model, objective, folder="parts", seed=3, **training)
    torch.manual_seed(12345)
    assert second.restore()
    assert second.step == stop
    second.train()

    left, right = whole.update.forward.state_dict(), second.update.forward.state_dict()
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name
    kept = [line for line in first_lines.lines if line["step"] <= stop]
    assert kept + second_lines.lines == whole_lines.lines
    assert whole.finish() == second.finish()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


def test_two_checkpoints_are_kept(make_trainer: Make, tmp_path: Path) -> None:
    trainer, _ = make_trainer(epochs=4)
    trainer.train()
    names = [path.name for path in checkpoints(tmp_path / "checkpoints")]
    assert names == ["step-000000015", "step-000000020"]
    assert not list((tmp_path / "checkpoints").glob(".*"))


def test_a_damaged_checkpoint_is_noticed(make_trainer: Make, tmp_path: Path) -> None:
    trainer, _ = make_trainer(epochs=1)
    trainer.train()
    path = checkpoints(tmp_path / "checkpoints")[-1]
    tensors = path / "tensors.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-5] ^= 1
    tensors.write_bytes(content)
    again, _ = make_trainer(epochs=1)
    with pytest.raises(RunError, match=r"tensors.safetensors is damaged"):
        again.restore()
    tensors.write_bytes(content[: len(content) // 2])
    with pytest.raises(RunError, match="damaged"):
        again.restore()
    (path / "checksums.json").write_text("{")
    for nothing in ("{", "{}", "[]", "null"):
        (path / "checksums.json").write_text(nothing)
        with pytest.raises(RunError, match="not a readable checkpoint"):
            again.restore()


@pytest.mark.parametrize("content", ["[]", "null", '"state"', "{}"])
def test_a_state_that_is_none_is_refused(make_trainer: Make, tmp_path: Path, content: str) -> None:
    trainer, _ = make_trainer(epochs=1)
    trainer.save()
    [path] = checkpoints(tmp_path / "checkpoints")
    (path / "state.json").write_text(content)
    names = ("tensors.safetensors", "state.json")
    (path / "checksums.json").write_text(json.dumps({name: sha256(path / name) for name in names}))
    with pytest.raises(RunError, match="not a readable checkpoint"):
        trainer.restore()


def test_a_checkpoint_of_another_experiment_is_refused(make_trainer: Make) -> None:
    make_trainer("flat", epochs=1)[0].train()
    with pytest.raises(RunError, match="not a checkpoint of this experiment"):
        make_trainer("hierarchy", epochs=1)[0].restore()


def test_a_newer_format_is_refused(make_trainer: Make, tmp_path: Path) -> None:
    make_trainer(epochs=1)[0].train()
    path = checkpoints(tmp_path / "checkpoints")[-1]
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, "format": 99}))
    sums = json.loads((path / "checksums.json").read_text())
    (path / "checksums.json").write_text(json.dumps({**sums, "state.json": sha256(path / "state.json")}))
    with pytest.raises(RunError, match="format 99 is of a newer vaelab"):
        load_checkpoint(path)


def test_nothing_to_restore(make_trainer: Make) -> None:
    assert make_trainer()[0].restore() is False
