"""Film strips: what stands where, and for which data there are any."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.models import CHAIN, FLAT, model_config
from vaelab.build import build_model
from vaelab.errors import ConfigError
from vaelab.figures import FigureContext
from vaelab.figures.sequences import Sequences, SequencesConfig, swapped
from vaelab.metrics import seeded
from vaelab.model import VAE
from vaelab.types import DataSpec

STATIC: dict[str, Any] = {
    **CHAIN,
    "prior": {"kind": "static_and_dynamic", "static": 3, "dynamic": 2, "hidden": 4},
}
VRNN: dict[str, Any] = {**CHAIN, "prior": {"kind": "vrnn", "dim": 2, "hidden": 4, "features": 4}}
SHAPE = (4, 36)


def made(base: dict[str, Any], tiny_splits, shape: tuple[int, ...] = SHAPE) -> tuple[VAE, FigureContext]:
    torch.manual_seed(0)
    model = build_model(model_config(base), DataSpec(shape, "binary", 3))
    return model, FigureContext(tiny_splits(shape, "binary", 20), title="run")


def drawn(model: VAE, context: FigureContext, **fields: Any):
    with model.evaluating(), torch.no_grad(), seeded(0):
        return Sequences(SequencesConfig(**fields)).draw(model, context)


@pytest.mark.parametrize(
    ("base", "names"),
    [
        (CHAIN, {"sequences"}),
        (VRNN, {"sequences"}),
        (STATIC, {"sequences", "sequences_swapped"}),
        ({**FLAT, "encoder": "mlp", "decoder": "mlp"}, {"sequences"}),
    ],
    ids=["chain", "vrnn", "static", "flat"],
)
def test_the_pictures_of_a_model(base: dict[str, Any], names: set[str], tiny_splits):
    pictures = drawn(*made(base, tiny_splits), number=2, swaps=2)
    assert pictures.keys() == names
    for picture in pictures.values():
        assert picture.get_suptitle().startswith("run\n")
        picture.canvas.draw()


def test_strips_stand_in_order(tiny_splits):
    model, context = made(CHAIN, tiny_splits)
    (picture,) = drawn(model, context, number=2).values()
    assert [label.get_text() for label in picture.axes[0].get_yticklabels()] == ["data", "model"] * 2 + ["new"] * 2
    shown = torch.from_numpy(picture.axes[0].images[0].get_array().data)
    with seeded(0), model.evaluating(), torch.no_grad():
        batch = context.data.test.fetch(torch.randperm(len(context.data.test))[:2])
        reconstructed = model.infer(batch).likelihood.mean[0]
        new = model.generate(2).likelihood.mean[0]
    strips = [batch.x[0], reconstructed[0], batch.x[1], reconstructed[1], new[0], new[1]]
    for r, strip in enumerate(strips):
        for t in range(4):
            tile = shown[r * 7 : r * 7 + 6, t * 7 : t * 7 + 6]
            assert torch.allclose(tile, strip[t].view(6, 6), atol=1e-6)


def test_the_swap_is_the_motion_of_one_in_the_content_of_the_other(tiny_splits):
    model, context = made(STATIC, tiny_splits)
    model = model.double()
    batch = context.data.test.fetch(torch.arange(2))
    content, motion = (type(batch)(batch.x[i : i + 1].double()) for i in (0, 1))
    mixed = swapped(model, content, motion)
    static, *_ = model.encode(content.x, mean=True)
    own, *steps = model.encode(motion.x, mean=True)
    assert torch.equal(mixed, model.decode((static, *steps)))
    assert not torch.equal(mixed, model.decode((own, *steps)))


def test_swapped_strips_stand_below_the_sequence_that_moves(tiny_splits):
    model, context = made(STATIC, tiny_splits)
    picture = drawn(model, context, number=1, swaps=2)["sequences_swapped"]
    labels = [label.get_text() for label in picture.axes[0].get_yticklabels()]
    assert labels == [
        "data 0",
        "$z$ of 0, $f$ of 0",
        "$z$ of 0, $f$ of 1",
        "data 1",
        "$z$ of 1, $f$ of 0",
        "$z$ of 1, $f$ of 1",
    ]
    assert drawn(model, context, swaps=0).keys() == {"sequences"}


@pytest.mark.parametrize("shape", [(1, 8, 8), (4, 5), (9,)])
def test_data_without_frames_have_no_strips(shape: tuple[int, ...], tiny_splits):
    assert drawn(*made(FLAT, tiny_splits, shape)) == {}


def test_a_frame_may_be_declared(tiny_splits):
    model, context = made(CHAIN, tiny_splits, (4, 10))
    assert drawn(model, context) == {}
    assert drawn(model, context, number=1, frame=(1, 2, 5)).keys() == {"sequences"}
    with pytest.raises(ConfigError, match=r"a frame \(1, 3, 3\) has 9 numbers, and a step of the data has 10"):
        drawn(model, context, frame=(1, 3, 3))


def test_colours_are_found(tiny_splits):
    model, context = made(CHAIN, tiny_splits, (4, 48))
    (picture,) = drawn(model, context, number=1).values()
    assert picture.axes[0].images[0].get_array().shape[2] == 3
