"""The vision transformer's patches, and which steps a temporal feature has seen."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.models import CHAIN, FLAT, flat_model, model_config
from vaelab.build import build_model
from vaelab.errors import BuildError
from vaelab.types import Batch, DataSpec

SMALL: dict[str, Any] = {"kind": "vit", "width": 8, "depth": 2, "heads": 2, "patch": 4}


@pytest.mark.parametrize("pooling", ["class_token", "mean"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (2, 9, 13), (1, 3, 2)], ids=str)
def test_vit_takes_any_size(shape: tuple[int, ...], pooling: str):
    model = flat_model(shape, encoder={**SMALL, "pooling": pooling})
    assert model.encoder(torch.rand(5, *shape)).shape == (5, 8)


def test_patches_are_the_pixels_of_a_square_padded_below_and_to_the_right():
    encoder = flat_model((2, 5, 6), encoder=SMALL).encoder
    x = torch.rand(1, 2, 5, 6)
    patches = encoder.patches(x)
    assert patches.shape == (1, 4, 2 * 16)
    assert torch.equal(patches[0, 0], x[0, :, :4, :4].flatten())
    corner = torch.zeros(2, 4, 4)
    corner[:, :1, :2] = x[0, :, 4:, 4:]
    assert torch.equal(patches[0, 3], corner.flatten())


@pytest.mark.parametrize("pooling", ["class_token", "mean"])
def test_the_order_of_patches_matters(pooling: str):
    model = flat_model((1, 8, 8), encoder={**SMALL, "pooling": pooling}).double()
    x = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    swapped = torch.cat([x[..., 4:, :], x[..., :4, :]], 2)
    assert not torch.allclose(model.encoder(x), model.encoder(swapped))
    with torch.no_grad():
        model.encoder.position.zero_()
    torch.testing.assert_close(model.encoder(x), model.encoder(swapped))


def test_vit_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(BuildError, match="no multiple of 3"):
        flat_model(encoder={**SMALL, "heads": 3})


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("direction", ["backward", "both"])
def test_a_temporal_feature_has_seen_the_steps_it_says(direction: str, kernel: int):
    steps, layers = 20, 2
    encoder = {"kind": "temporal_conv", "width": 4, "layers": layers, "kernel": kernel, "direction": direction}
    encoder["activation"] = "tanh"  # a ReLU may hide what it has seen
    prior = {**CHAIN["prior"], "steps": steps}
    model = build_model(model_config(CHAIN, encoder=encoder, prior=prior), DataSpec((steps, 3), "binary")).double()
    x = torch.rand(1, steps, 3, dtype=torch.float64)
    changed = x.clone()
    changed[:, 10] += 1
    before, after = (model.encoder.features(Batch(value)) for value in (x, changed))
    assert len(before) == steps
    seen = {t for t in range(steps) if not torch.equal(before[t], after[t])}
    reach = (kernel - 1) * (2**layers - 1)
    if direction == "backward":
        assert seen == set(range(10 - reach, 11))
    else:
        assert len(seen) == reach + 1
        assert min(seen) < 10 < max(seen)


def test_temporal_features_of_an_image_are_its_rows():
    model = build_model(
        model_config(CHAIN, encoder={"kind": "temporal_conv", "width": 4}), DataSpec((1, 4, 6), "binary")
    )
    assert [tuple(f.shape) for f in model.encoder.features(Batch(torch.rand(2, 1, 4, 6)))] == [(2, 4)] * 4
    with pytest.raises(BuildError, match="encoder 'temporal_conv'"):
        build_model(model_config(FLAT, encoder="temporal_conv"), DataSpec((4, 6), "binary"))
