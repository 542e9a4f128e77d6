"""Encoders and decoders of images at any size and number of channels, and what each is by its paper."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from core.models import FLAT, flat_model, model_config
from vaelab.build import build_model
from vaelab.errors import BuildError
from vaelab.nets.strided import StridedDown, StridedUp, strided_sizes
from vaelab.types import Batch, DataSpec

SHAPES = [(1, 28, 28), (3, 32, 32), (2, 17, 33), (1, 7, 5), (4, 8, 20)]
ENCODERS: dict[str, dict[str, Any]] = {
    "gated_mlp": {"hidden": [6]},
    "resnet": {"channels": [4, 5, 6], "blocks": 1, "hidden": [8]},
    "resnet_map": {"kind": "resnet", "channels": [4, 5], "blocks": 1, "hidden": []},
    "burgess": {"channels": 4, "hidden": [8]},
    "dcgan": {"channels": 2},
}
DECODERS: dict[str, dict[str, Any]] = {
    "gated_mlp": {"hidden": [6]},
    "resnet": {"channels": [6, 5, 4], "blocks": 1},
    "burgess": {"channels": 4, "hidden": [8]},
    "dcgan": {"channels": 2},
    "spatial_broadcast": {"channels": [4, 4]},
    "pixelcnn": {"trunk": {"kind": "conv", "channels": [4], "hidden": []}, "features": 3, "width": 4, "blocks": 1},
}


def component(kinds: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    return {"kind": name, **kinds[name]}


def data(shape: tuple[int, ...]) -> DataSpec:
    return DataSpec(shape, "binary")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_take_any_size(name: str, shape: tuple[int, ...]):
    # the build compares what the encoder announces with what it yields
    model = build_model(model_config(FLAT, encoder=component(ENCODERS, name)), data(shape))
    assert len(model.encoder.features(Batch(torch.rand(2, *shape)))) == 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", DECODERS)
def test_decoders_reach_any_size(name: str, shape: tuple[int, ...]):
    model = build_model(model_config(FLAT, decoder=component(DECODERS, name)), data(shape))
    trace = model.infer(Batch(torch.rand(2, *shape).round()), 3)
    assert trace.likelihood.event_shape == shape
    assert trace.log_px.shape == (3, 2)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("code", [[3, 4, 4], [2, 3, 3], [2, 8, 8]], ids=str)
def test_decoders_take_codes_that_are_maps(name: str, code: list[int]):
    if name == "pixelcnn" and code[1] == 3:
        pytest.skip("its trunk, 'conv', refuses a map of no level")
    model = flat_model(prior={"kind": "standard_normal", "dim": code}, decoder=component(DECODERS, name))
    assert model.sample(2).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("name", ["resnet", "burgess", "dcgan"])
def test_refused_where_there_is_no_image(name: str):
    for axis, kinds in (("encoder", ENCODERS), ("decoder", DECODERS)):
        with pytest.raises(BuildError, match=f"{axis} '{name}'"):
            flat_model((6,), **{axis: component(kinds, name)})


@pytest.mark.parametrize("name", ["burgess", "dcgan"])
def test_too_many_halvings_are_refused(name: str):
    with pytest.raises(BuildError, match="halves height and width 4 times"):
        flat_model((1, 8, 8), encoder={"kind": name, "levels": 4})


def convolutions(module: nn.Module) -> list[tuple[int, ...]]:
    return [
        (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0])
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]


def linear(module: nn.Module) -> list[tuple[int, int]]:
    return [(layer.in_features, layer.out_features) for layer in module.modules() if isinstance(layer, nn.Linear)]


def test_burgess_is_the_paper_s_at_64_pixels():
    model = flat_model((1, 64, 64), encoder="burgess", decoder="burgess", prior={"kind": "standard_normal", "dim": 10})
    assert convolutions(model.encoder) == [(1, 32, 4, 2), *[(32, 32, 4, 2)] * 3]
    assert linear(model.encoder) == [(512, 256), (256, 256)]
    assert linear(model.decoder) == [(10, 256), (256, 256), (256, 512)]
    assert convolutions(model.decoder) == [*[(32, 32, 4, 2)] * 3, (32, 1, 4, 2)]


def test_dcgan_is_the_paper_s_at_64_pixels():
    model = flat_model((3, 64, 64), encoder="dcgan", decoder="dcgan", prior={"kind": "standard_normal", "dim": 100})
    assert [c[:2] for c in convolutions(model.encoder)] == [(3, 64), (64, 128), (128, 256), (256, 512)]
    assert linear(model.decoder) == [(100, 1024 * 4 * 4)]
    assert [c[:2] for c in convolutions(model.decoder)] == [(1024, 512), (512, 256), (256, 128), (128, 3)]
    slopes = {layer.negative_slope for layer in model.encoder.modules() if isinstance(layer, nn.LeakyReLU)}
    assert slopes == {0.2}
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in model.encoder.modules()) == 3


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (28, 28), (33, 18)])
def test_strided_levels_mirror_one_another(size: tuple[int, int], norm: bool):
    down = StridedDown((2, *size), (3, 3), nn.ReLU, norm=norm)
    x = torch.rand(2, 2, *size)
    h = down(x)
    assert h.shape[1:] == down.out_shape == (3, *strided_sizes(*size, 2)[-1])
    assert StridedUp((3, 3), (2, *size), nn.ReLU, norm=norm)(h).shape == x.shape


def test_gated_layer_by_hand():
    from vaelab.nets.gated import GatedLinear

    layer, x = GatedLinear(4, 3), torch.randn(5, 4)
    value, gate = x @ layer.value.weight.T + layer.value.bias, x @ layer.gate.weight.T + layer.gate.bias
    torch.testing.assert_close(layer(x), value / (1 + (-gate).exp()))


def test_broadcast_pixels_differ_by_their_coordinates_alone():
    """With 1x1 weights every pixel would be the same function of (z, row, column)."""
    model = flat_model((1, 5, 9), decoder={"kind": "spatial_broadcast", "channels": [4]})
    decoder = model.decoder
    assert decoder.grid[0, :, 0].tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert decoder.grid[1, 0].tolist() == [-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0]
    with torch.no_grad():
        decoder.grid.zero_()
    # without coordinates the inside of the picture, out of reach of the padding, is flat
    inside = model.decode(torch.randn(2, 4))[..., 1:-1, 1:-1].flatten(1)
    torch.testing.assert_close(inside, inside[:, :1].expand_as(inside))


def test_residual_networks_start_as_if_they_had_no_blocks():
    one = flat_model(encoder={"kind": "resnet", "channels": [4], "blocks": 3, "hidden": []})
    x = torch.rand(2, 1, 8, 8)
    stem, last = one.encoder.net[0], one.encoder.net[-1]
    torch.testing.assert_close(one.encoder(x), last(stem(x)))


@pytest.mark.parametrize("likelihood", ["normal", "categorical", "discretised_logistic_mixture", "beta"])
def test_pixelcnn_is_causal_with_any_local_likelihood(likelihood: str):
    """A pixel that changes changes no factor before its own."""
    shape = (3, 4, 5)
    torch.manual_seed(0)
    config = model_config(FLAT, decoder=component(DECODERS, "pixelcnn"), likelihood=likelihood)
    model = build_model(config, DataSpec(shape, "unit")).double().eval()
    z = torch.randn(2, 1, 4, dtype=torch.float64)
    p = model.decoder.distribution(z, model.likelihood)
    x = torch.rand(1, 1, *shape, dtype=torch.float64)
    changed = x.clone()
    changed[..., 2, 3] = 1 - changed[..., 2, 3]
    before = torch.zeros(4, 5, dtype=torch.bool)
    before[:2] = before[2, :3] = True
    for value in (x, changed):
        assert p.log_prob(value).shape == (2, 1)
    parameters = [p._conditionals(value.expand(2, *value.shape[1:]), p.features) for value in (x, changed)]
    differ = (parameters[0] != parameters[1]).flatten(0, 2).any(0)
    assert not differ[before].any()
    assert not differ[2, 3]
    assert differ[2, 4]
    assert p.sample().shape == (2, 1, *shape)


def test_pixelcnn_refuses_scores_of_whole_pictures_and_trunks_like_itself(monkeypatch: pytest.MonkeyPatch):
    from vaelab.likelihoods import Likelihood

    nested = {"kind": "pixelcnn", "trunk": {"kind": "pixelcnn", "trunk": "mlp"}}
    with pytest.raises(BuildError, match="trunk"):
        flat_model(decoder=nested)
    monkeypatch.setattr(Likelihood, "local", False)
    with pytest.raises(BuildError) as caught:
        flat_model(decoder=component(DECODERS, "pixelcnn"))
    assert "decoder 'pixelcnn'" in str(caught.value)
    assert "likelihood 'bernoulli'" in str(caught.value)
