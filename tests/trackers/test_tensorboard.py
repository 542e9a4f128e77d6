"""TensorBoard gets what the run directory has, read back by TensorBoard's own reader."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import vaelab
from vaelab.errors import VaelabError
from vaelab.registry import TRACKERS
from vaelab.trackers import RunInfo

pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")

EXPERIMENT: dict[str, Any] = {
    "name": "tiny",
    "data": {"kind": "digits", "validation": 100, "binarisation": "threshold"},
    "model": {
        "encoder": {"kind": "mlp", "hidden": [8]},
        "posterior": "diagonal_normal",
        "prior": {"kind": "standard_normal", "dim": 2},
        "decoder": {"kind": "mlp", "hidden": [8]},
        "likelihood": "bernoulli",
    },
    "training": {"steps": 30, "log_every": 10},
    "evaluation": {"metrics": ["negative_elbo"], "figures": [{"kind": "samples", "number": 4}]},
    "trackers": ["tensorboard"],
}


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0, "images": 0})
    return events.Reload()


def test_names_figures_config_and_summary_are_those_of_the_run(tmp_path: Path):
    run = vaelab.train(EXPERIMENT, tmp_path, device="cpu")
    events = read(run.path / "tensorboard")
    scalars = set(events.Tags()["scalars"])
    assert {"train/loss", "train/kl", "train/lr", "validation/negative_elbo", "test/negative_elbo", "epoch"} <= scalars
    losses = {event.step: event.value for event in events.Scalars("train/loss")}
    lines = {line["step"]: line["loss"] for line in run.history if line["split"] == "train"}
    assert losses == pytest.approx(lines)
    [summary] = events.Scalars("test/negative_elbo")[:1]
    assert summary.value == pytest.approx(run.evaluation["values"]["negative_elbo"]["value"])
    assert events.Tags()["images"] == ["figures/samples"]
    [picture] = events.Images("figures/samples")
    assert picture.encoded_image_string.startswith(b"\x89PNG")
    [text] = events.Tensors("config/text_summary")
    shown = text.tensor_proto.string_val[0].decode()
    assert json.loads(shown) == json.loads((run.path / "config.json").read_text())
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_a_resumed_run_hides_what_it_writes_again(tmp_path: Path):
    def tracker(resumed: bool) -> Any:
        built = TRACKERS.build(TRACKERS["tensorboard"].config.example())
        built.start(RunInfo("tiny", "id", tmp_path, {"a": [1, {"b": None}]}, resumed))
        return built

    first = tracker(resumed=False)
    for step in (10, 20, 30):
        first.log({"split": "train", "step": step, "epoch": step / 10, "loss": 1.0})
    first.close(failed=True)
    again = tracker(resumed=True)
    again.log({"split": "train", "step": 20, "epoch": 2.0, "loss": 2.0})
    again.finish({"negative_elbo": 3.0})
    again.close(failed=False)
    events = read(tmp_path / "tensorboard")
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(10, 1.0), (20, 2.0)]
    assert next((e.step, e.value) for e in events.Scalars("test/negative_elbo")) == (20, 3.0)


def test_without_the_package_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    built = TRACKERS.build(TRACKERS["tensorboard"].config.example())
    with pytest.raises(VaelabError, match=r"pip install 'vaelab\[tensorboard\]'"):
        built.start(RunInfo("tiny", "id", tmp_path, {}, False))
    built.close(failed=True)
