"""NaN, infinity and spikes: named at the step where they come up, before they reach the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vaelab.errors import NonFiniteError, VaelabError
from vaelab.training import Trainer
from vaelab.training.checkpoint import checkpoints, load_checkpoint
from vaelab.training.order import epoch_order
from vaelab.types import DataSplits

Make = Callable[..., tuple[Trainer, Any]]
BAD = 4
"""The step, from 1, whose gradient is spoilt."""

#: Whether the host looks at each step, as on a CPU, or reads later what the device found, as on a GPU.
WAITS = pytest.mark.parametrize("waits", [True, False], ids=["at once", "later"])


def spoil(trainer: Trainer, factor: float) -> None:
    """Multiply one gradient of one step."""

    def hook(gradient: Tensor) -> Tensor:
        return gradient * factor if trainer.step == BAD - 1 else gradient

    list(trainer.model.decoder.parameters())[-1].register_hook(hook)


def watched(trainer: Trainer, recorder: Any) -> dict[int, list[Tensor]]:
    """The weights and running means after each step."""
    seen: dict[int, list[Tensor]] = {}

    def note(step: int) -> None:
        tensors = list(trainer.update.forward.state_dict().values())
        tensors += trainer.update.average.averages.values() if trainer.update.average else []
        seen[step] = [tensor.clone() for tensor in tensors]

    recorder.on_step = note
    return seen


def refusal(trainer: Trainer) -> str:
    """Train; what it was refused with, or nothing."""
    try:
        trainer.train()
    except VaelabError as error:
        return str(error)
    return ""


def finite(lines: list[dict[str, Any]]) -> bool:
    return all(math.isfinite(value) for line in lines for key, value in line.items() if key != "split")


def equal(left: list[Tensor], right: list[Tensor]) -> bool:
    return all(torch.equal(one, two) for one, two in zip(left, right, strict=True))


def test_a_bad_weight_is_named_with_the_term_and_the_batch(make_trainer: Make, tmp_path: Path) -> None:
    trainer, _ = make_trainer(epochs=5)
    name, parameter = next(iter(trainer.model.decoder.named_parameters()))
    with torch.no_grad():
        parameter.fill_(math.nan)
    with pytest.raises(NonFiniteError) as raised:
        trainer.train()
    message = str(raised.value)
    rows = epoch_order(3, 0, 48)[:10].tolist()
    assert message.startswith("step 1: loss, distortion")
    assert f"the weights model.decoder.{name} is NaN" in message
    assert "training data " + ", ".join(map(str, rows[:8])) in message
    assert "latent group" not in message
    tensors, state = load_checkpoint(checkpoints(tmp_path / "nonfinite")[0])
    assert state["rows"] == rows
    assert tensors["batch/x"].shape == (10, 1, 8, 8)
    assert f"gradient/model.decoder.{name}" in tensors
    assert not checkpoints(tmp_path / "checkpoints"), "what is not finite is no checkpoint to go on from"


def test_a_bad_scale_of_the_posterior_names_the_latent_group(make_trainer: Make) -> None:
    trainer, _ = make_trainer("hierarchy", epochs=1)
    with torch.no_grad():
        for parameter in trainer.model.posterior.heads[1].parameters():
            parameter.fill_(math.inf)
    with pytest.raises(NonFiniteError, match=r"posterior\.heads\.1.*rate of latent group 1\)"):
        trainer.train()


@WAITS
@pytest.mark.parametrize("model", ["flat", "codes"])
def test_a_bad_gradient_stops_before_the_weights_change(make_trainer: Make, model: str, waits: bool) -> None:
    trainer, recorder = make_trainer(model, "codes" if model == "codes" else "elbo", epochs=2, ema=0.9, log_every=3)
    trainer.update.guard.waits = waits
    seen = watched(trainer, recorder)
    spoil(trainer, math.inf)
    with pytest.raises(NonFiniteError, match=rf"step {BAD}: the gradients of model\.decoder\.\S+ is NaN or infinite"):
        trainer.train()
    assert trainer.step == (BAD - 1 if waits else 5), "the end of the epoch makes a line"
    tensors = list(trainer.update.forward.state_dict().values()) + list(trainer.update.average.averages.values())
    assert equal(tensors, seen[BAD - 1])


@WAITS
@pytest.mark.parametrize("model", ["flat", "codes"])
def test_bad_steps_are_left_out(make_trainer: Make, model: str, waits: bool) -> None:
    trainer, recorder = make_trainer(
        model, "codes" if model == "codes" else "elbo", epochs=2, ema=0.9, log_every=2, on_nonfinite="skip"
    )
    trainer.update.guard.waits = waits
    seen = watched(trainer, recorder)
    spoil(trainer, math.nan)
    trainer.train()
    assert equal(seen[BAD], seen[BAD - 1])
    assert not equal(seen[BAD + 1], seen[BAD])
    lines = [line for line in recorder.lines if line["split"] == "train"]
    assert [line["skipped"] for line in lines] == [0, 1, 1, 1, 1, 1]
    assert finite(lines)
    again, _ = make_trainer(model, "codes" if model == "codes" else "elbo", epochs=2, ema=0.9, on_nonfinite="skip")
    assert again.restore()
    assert again.update.guard.skipped == 1


def test_looking_later_changes_nothing(make_trainer: Make) -> None:
    ends = []
    for waits in (True, False):
        trainer, recorder = make_trainer("flat", "adversary", epochs=2, gradient_clip=1.0, folder=str(waits))
        trainer.update.guard.waits = waits
        torch.manual_seed(1)
        trainer.train()
        ends.append((list(trainer.update.forward.state_dict().values()), recorder.lines))
    assert equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


@WAITS
def test_bad_steps_are_only_told(make_trainer: Make, waits: bool, caplog: pytest.LogCaptureFixture) -> None:
    trainer, recorder = make_trainer(epochs=2, on_nonfinite="warn", log_every=1)
    trainer.update.guard.waits = waits
    spoil(trainer, math.nan)
    trainer.train()
    assert f"step {BAD}: " in caplog.text
    assert "the gradients of model.decoder" in caplog.text
    assert "it was taken nevertheless" in caplog.text
    assert caplog.text.count("\n") <= 3, "of many steps three are told"
    assert math.isnan(recorder.lines[-1]["negative_elbo"])
    lines = [line for line in recorder.lines if line["split"] == "train"]
    assert [line["nonfinite"] for line in lines] == [max(0, line["step"] - BAD + 1) for line in lines]
    again, _ = make_trainer(epochs=2, on_nonfinite="warn")
    assert not again.restore() or again.update.guard.taken == lines[again.step - 1]["nonfinite"]


@WAITS
def test_spikes_are_left_out_counted_and_reported(make_trainer: Make, waits: bool) -> None:
    trainer, recorder = make_trainer(epochs=2, log_every=2, skip_gradient_above=1e4)
    trainer.update.guard.waits = waits
    seen = watched(trainer, recorder)
    spoil(trainer, 1e6)
    trainer.train()
    assert equal(seen[BAD], seen[BAD - 1])
    lines = [line for line in recorder.lines if line["split"] == "train"]
    assert [line["skipped"] for line in lines] == [0, 1, 1, 1, 1, 1]
    assert lines[1]["gradient_norm"] > 1e4 > lines[0]["gradient_norm"] > 0


def test_optimisers_that_cannot_be_told_make_the_host_wait(make_trainer: Make) -> None:
    from vaelab.training.guard import Guard

    for optimiser, waits in (("adam", False), ("sgd", False), ("adamax", True)):
        update = make_trainer(optimiser=optimiser)[0].update
        arguments = (update.forward, update.parameters, update.optimisers, update.config)
        assert Guard(*arguments, torch.device("meta")).waits is waits
        assert Guard(*arguments, torch.device("cpu")).waits


def _images(
    value: float | None, shape: tuple[int, ...] = (1, 8, 8)
) -> Callable[[Callable[..., DataSplits]], DataSplits]:
    def make(splits: Callable[..., DataSplits]) -> DataSplits:
        data = splits(shape)
        for split in (data.train, data.validation, data.test):
            if value is not None:
                split._stored.fill_(value)
        return data

    return make


EXTREMES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "all black": (_images(0.0), {}, ""),
    "all white": (_images(1.0), {}, ""),
    "constant": (_images(0.5), {}, ""),
    "one pixel": (_images(None, (1, 1, 1)), {}, ""),
    "one black pixel": (_images(0.0, (1, 1, 1)), {}, ""),
    "a batch of one": (_images(None), {"batch_size": 1}, ""),
    "a partial last batch of one": (_images(None), {"batch_size": 47}, ""),
    "fewer data than a batch": (_images(None), {"batch_size": 1000}, ""),
    "a rate of 1e30": (_images(None), {"optimiser": {"kind": "sgd", "lr": 1e30}}, "NaN or infinite"),
}


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize(("model", "objective"), [("flat", "elbo"), ("flat", "iwae"), ("hierarchy", "elbo")])
def test_extreme_data(
    make_trainer: Make, tiny_splits: Callable[..., DataSplits], name: str, model: str, objective: str
) -> None:
    make_data, training, expected = EXTREMES[name]
    if model == "hierarchy" and "pixel" in name:
        pytest.skip("the pyramid needs 2 x 2 pixels, and says so")
    trainer, recorder = make_trainer(
        model, objective, data=make_data(tiny_splits), epochs=None, steps=3, log_every=1, **training
    )
    said = refusal(trainer)
    assert expected in said
    assert expected or not said, said
    assert finite(recorder.lines)


@pytest.mark.parametrize("log_scale", [-100.0, 100.0])
@pytest.mark.parametrize("model", ["flat", "hierarchy"])
def test_extreme_scales(make_trainer: Make, model: str, log_scale: float) -> None:
    """Scales of exp(100): finite values, or a stop that names the group; never a silent NaN."""
    trainer, recorder = make_trainer(model, "elbo", epochs=None, steps=3, log_every=1)
    with torch.no_grad():
        for head in trainer.model.posterior.heads:
            bias = list(head.parameters())[-1]
            bias[len(bias) // 2 :] = log_scale
    said = refusal(trainer)
    assert not said or "rate of latent group " in said, said
    assert finite(recorder.lines)


@pytest.mark.parametrize("weight", [1e10, 1e30, 3e38])
def test_huge_weights_of_the_kl(
    make_trainer: Make, objectives: dict[str, Any], monkeypatch: pytest.MonkeyPatch, weight: float
) -> None:
    terms = {"kind": "elbo", "divergences": [{"kind": "kl", "weight": weight}]}
    monkeypatch.setitem(objectives, "huge", terms)
    trainer, recorder = make_trainer("flat", "huge", epochs=None, steps=3, log_every=1)
    said = refusal(trainer)
    assert not said or "loss" in said or "gradients" in said, said
    assert finite(recorder.lines)


def test_one_latent_and_one_sample(
    make_trainer: Make, models: dict[str, Any], objectives: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(models, "narrow", {**models["flat"], "prior": {"kind": "standard_normal", "dim": 1}})
    monkeypatch.setitem(objectives, "one", {"kind": "iwae", "samples": 1})
    trainer, recorder = make_trainer("narrow", "one", epochs=None, steps=3, log_every=1, batch_size=1)
    trainer.train()
    assert all(math.isfinite(line["loss"]) for line in recorder.lines if line["split"] == "train")
