"""Labels as the condition of a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from core.models import FLAT, model_config
from vaelab.build import build
from vaelab.datasets.condition import condition_of
from vaelab.datasets.memory import MemorySplit
from vaelab.datasets.streaming import StreamingSplit
from vaelab.errors import BuildError, DataError
from vaelab.registry import DATASETS, OBJECTIVES
from vaelab.types import DataSpec, StepContext


def test_labels_become_one_hot_vectors_in_every_batch():
    dataset = DATASETS.build(DATASETS._validate({"kind": "digits", "condition": "label"}))
    assert dataset.spec.condition_shape == (10,)
    train = dataset.load().train.to(torch.device("cpu"))
    for batch in (train.fetch(torch.tensor([3, 1])), next(iter(train.batches(torch.arange(7), 7)))):
        assert batch.condition is not None
        assert batch.condition.dtype == batch.x.dtype
        assert torch.equal(batch.condition, F.one_hot(batch.y, 10).float())


def test_no_condition_unless_it_is_asked_for():
    dataset = DATASETS.build(DATASETS._validate({"kind": "digits"}))
    assert dataset.spec.condition_shape is None
    assert dataset.load().train.fetch(torch.tensor([0])).condition is None


@pytest.mark.parametrize(("memory_limit", "kind"), [(2**20, MemorySplit), (0, StreamingSplit)])
def test_pictures_have_it_whether_kept_or_streamed(tmp_path: Path, memory_limit: int, kind: type):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for i in range(4):
            Image.fromarray(np.full((8, 8), 20 * i, dtype=np.uint8)).save(tmp_path / label / f"{i}.png")
    content = {
        "kind": "image_folder", "path": str(tmp_path), "size": 8, "channels": 1, "condition": "label",
        "memory_limit": memory_limit, "workers": 0,
    }  # fmt: skip
    train = DATASETS.build(DATASETS._validate(content)).load().train.to(torch.device("cpu"))
    assert type(train) is kind
    for batch in (train.fetch(torch.arange(4)), next(train.batches(torch.arange(4), 4))):
        assert batch.condition is not None
        assert torch.equal(batch.condition, F.one_hot(batch.y, 2).float())


def test_data_without_labels_are_refused(tmp_path: Path):
    np.save(tmp_path / "x.npy", np.zeros((8, 3), dtype=np.float32))
    content = {"kind": "arrays", "path": str(tmp_path / "x.npy"), "condition": "label"}
    dataset = DATASETS.build(DATASETS._validate(content))
    with pytest.raises(BuildError, match="dataset 'arrays': there are no labels that could be the condition"):
        dataset.spec  # noqa: B018  a property
    spec = DataSpec((3,), "real", 2, (2,))
    with pytest.raises(DataError, match="needs labels"):
        MemorySplit(spec, torch.zeros(4, 3), None).fetch(torch.tensor([0]))
    assert condition_of(DataSpec((3,), "real", 2), None) is None


def real_conditions(path: Path) -> dict[str, object]:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 400)
    condition = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    x = (condition @ np.array([[2.0, 0, 1], [0, 2.0, 1]]) + 0.1 * rng.normal(size=(400, 3))).astype(np.float32)
    np.savez(path / "turns.npz", x=x, angle=condition)
    return {"kind": "arrays", "path": str(path / "turns.npz"), "values": "real", "conditions": "angle"}


def test_a_model_learns_what_follows_from_real_conditions(tmp_path: Path):
    content = real_conditions(tmp_path)
    dataset = DATASETS.build(DATASETS._validate(content))
    assert dataset.spec.condition_shape == (2,)
    assert dataset.spec.condition_values == "real"
    torch.manual_seed(0)
    axes = {
        "encoder": {"kind": "conditional", "encoder": {"kind": "mlp", "hidden": [16]}},
        "prior": {"kind": "conditional", "dim": 2, "hidden": [16], "readout": "latent_and_condition"},
        "decoder": {"kind": "mlp", "hidden": [16]},
        "likelihood": {"kind": "normal", "sigma": "per_pixel"},
    }
    model, objective = build(model_config(FLAT, **axes), OBJECTIVES._validate("elbo"), dataset.spec)
    train = dataset.load().train
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for batch in (train.fetch(torch.randint(len(train), (64,))) for _ in range(300)):
        optimiser.zero_grad()
        objective(model, batch, StepContext())["model"].value.mean().backward()
        optimiser.step()
    chosen = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    means = model.sample(3, condition=chosen)
    expected = chosen @ torch.tensor([[2.0, 0, 1], [0, 2.0, 1]])
    assert float((means - expected).abs().max()) < 0.5
    # without a condition, one of the training's is drawn: samples lie on the whole ellipse
    free = model.sample(400)[:, :2] / 2
    assert float((free.norm(dim=1) - 1).abs().mean()) < 0.2
    assert float(free.mean(0).abs().max()) < 0.2


def test_real_conditions_are_checked(tmp_path: Path):
    content = real_conditions(tmp_path)
    with pytest.raises(BuildError, match="not from both"):
        _ = DATASETS.build(DATASETS._validate({**content, "condition": "label", "num_classes": 3})).spec
    np.savez(tmp_path / "turns.npz", x=np.zeros((9, 3), np.float32), angle=np.zeros(9, np.float32))
    with pytest.raises(DataError, match=r"\[N, C\]"):
        _ = DATASETS.build(DATASETS._validate(content)).spec
