"""Options that change how a step is computed and not what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from vaelab.config import TrainingConfig
from vaelab.training import StoppedError, Trainer
from vaelab.training.layout import recompute

Make = Callable[..., tuple[Trainer, Any]]


@pytest.mark.parametrize(
    ("model", "objective"), [("flat", "adversary"), ("flat", "iwae"), ("codes", "codes"), ("hierarchy", "elbo")]
)
def test_recomputed_activations_give_the_same_bits(make_trainer: Make, model: str, objective: str) -> None:
    ends = []
    for again in (False, True):
        trainer, recorder = make_trainer(
            model, objective, folder=str(again), epochs=None, steps=4, gradient_checkpointing=again
        )
        torch.manual_seed(0)
        trainer.train()
        ends.append((trainer.update.forward.state_dict(), recorder.lines))
    (plain, plain_lines), (saved, saved_lines) = ends
    assert plain.keys() == saved.keys()
    assert all(torch.equal(plain[name], saved[name]) for name in plain)
    assert plain_lines == saved_lines


DEEP = {
    "encoder": {"kind": "pyramid", "width": 8, "blocks": 3},
    "posterior": "diagonal_normal",
    "prior": {
        "kind": "top_down",
        "top": {"kind": "standard_normal", "dim": 3},
        "groups": [[2, 4, 4], [2, 8, 8]],
        "width": 8,
        "blocks": 3,
    },
    "decoder": {"kind": "conv", "channels": [8], "hidden": []},
    "likelihood": "bernoulli",
}


def test_a_hierarchy_keeps_less(make_trainer: Make, models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models, "deep", DEEP)

    def kept(again: bool) -> int:
        trainer, _ = make_trainer("deep", "elbo", folder=str(again), gradient_checkpointing=again)
        batch = next(iter(trainer.data.train.batches(torch.arange(10), 10)))
        seen: list[torch.Tensor] = []

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            seen.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            trainer.update.run(batch, trainer._context())
        return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in seen}.values())

    assert kept(True) < 0.5 * kept(False)


def test_running_means_are_left_alone() -> None:
    layers = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    inner = torch.nn.Module()
    inner.levels = torch.nn.ModuleList([layers, torch.nn.Linear(2, 2)])
    assert recompute(inner) == 1
    assert "forward" not in vars(layers)


CONV = {
    "encoder": {"kind": "conv", "channels": [4, 8], "hidden": []},
    "posterior": "diagonal_normal",
    "prior": {"kind": "standard_normal", "dim": 4},
    "decoder": {"kind": "conv", "channels": [8, 4], "hidden": []},
    "likelihood": "bernoulli",
}


def test_channels_last(make_trainer: Make, models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models, "conv", CONV)
    lines = []
    for order in ("contiguous", "channels_last"):
        trainer, recorder = make_trainer("conv", folder=order, epochs=1, ema=0.9, memory_format=order)
        torch.manual_seed(0)
        trainer.train()
        lines.append([line["loss"] for line in recorder.lines if line["split"] == "train"])
    assert lines[0] == pytest.approx(lines[1], rel=1e-4)
    weights = [p for p in trainer.model.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]
    assert weights
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def test_channels_last_resumes_to_the_same_bits(
    make_trainer: Make, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(models, "conv", CONV)
    training = {"epochs": 2, "memory_format": "channels_last"}
    whole, _ = make_trainer("conv", folder="whole", **training)
    whole.train()
    first, recorder = make_trainer("conv", folder="parts", **training)

    def ask(step: int) -> None:
        first.stop_requested = step == 3

    recorder.on_step = ask
    with pytest.raises(StoppedError):
        first.train()
    second, _ = make_trainer("conv", folder="parts", **training)
    assert second.restore()
    second.train()
    left, right = whole.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"compile": True, "gradient_checkpointing": True}, "either it or 'gradient_checkpointing'"),
        ({"compile_mode": "reduce-overhead"}, "has no effect without 'compile'"),
    ],
)
def test_options_that_contradict_each_other(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig.model_validate({"epochs": 1, **more})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU, and there is none here")
def test_cuda_graphs_train_like_eager_code(make_trainer: Make) -> None:
    losses = []
    for more in ({}, {"compile": True, "compile_mode": "reduce-overhead"}):
        trainer, recorder = make_trainer(epochs=1, **more)
        trainer.train()
        losses.append([line["loss"] for line in recorder.lines if line["split"] == "train"][-1])
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
