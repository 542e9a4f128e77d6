"""Models that are told the label: prior, encoder and decoder of a conditional VAE."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from core.models import FLAT, model_config
from vaelab.build import build_model
from vaelab.errors import BuildError
from vaelab.inference import generate
from vaelab.model import VAE
from vaelab.types import Batch, DataSpec

DATA = DataSpec((1, 8, 8), "binary", num_classes=3, condition_shape=(3,))
PRIOR: dict[str, Any] = {"kind": "conditional", "dim": 4, "hidden": [6]}
FULL: dict[str, Any] = {
    **FLAT,
    "encoder": {"kind": "conditional", "encoder": FLAT["encoder"]},
    "prior": {**PRIOR, "readout": "latent_and_condition"},
}
CONDITION = torch.eye(3, dtype=torch.float64)


def model_of(base: dict[str, Any], data: DataSpec = DATA, **axes: Any) -> VAE:
    torch.manual_seed(0)
    model = build_model(model_config(base, **axes), data).double().eval()
    with torch.no_grad():
        for parameter in model.prior.parameters():
            parameter.mul_(2)
    return model


def batch(condition: Tensor | None = CONDITION) -> Batch:
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1)).round().double()
    return Batch(x, condition=condition)


def test_rate_is_taken_to_the_prior_of_the_datums_label():
    model = model_of(FLAT, prior=PRIOR)
    trace = model.infer(batch(), 2)
    q = trace.groups[0].q
    assert q is not None
    for b, label in enumerate(CONDITION):
        loc, log_scale = model.prior.net(label).chunk(2)
        ours = torch.distributions.Normal(loc, log_scale.exp())
        theirs = torch.distributions.Normal(q.loc[0, b], q.scale[0, b])
        torch.testing.assert_close(trace.total_rate()[0, b], torch.distributions.kl_divergence(theirs, ours).sum())
    assert trace.total_rate().unique().numel() == 3


def test_without_a_condition_all_labels_are_equally_likely():
    model = model_of(FLAT, prior=PRIOR)
    state = model.prior.initial((2, 3))
    given = [model.prior.group(0, model.prior.initial((1, 1), y.unsqueeze(0))) for y in CONDITION]
    z = torch.randn(2, 3, 4, dtype=torch.float64)
    each = torch.stack([p.log_prob(z) for p in given])
    torch.testing.assert_close(model.prior.group(0, state).log_prob(z), each.logsumexp(0) - math.log(3))
    assert model.generate(5).zs[0].shape == (5, 4)


def test_samples_follow_their_condition():
    model = model_of(FLAT, prior=PRIOR)
    condition = CONDITION.repeat_interleave(4000, 0)
    (z,) = model.generate(12_000, condition=condition).zs
    for label, part in zip(CONDITION, z.chunk(3), strict=True):
        loc, log_scale = model.prior.net(label).chunk(2)
        error = log_scale.exp() / 4000**0.5
        assert ((part.mean(0) - loc).abs() < 5 * error).all()


def test_decoder_sees_the_condition_behind_the_latent():
    model = model_of(FULL)
    (z,) = model.generate(3, condition=CONDITION).zs
    assert model.prior.readout_shape == (7,)
    code = torch.cat([z, CONDITION], 1).unsqueeze(0)
    expected = model.decoder.distribution(code, model.likelihood).mean[0]
    torch.testing.assert_close(model.decode(z, condition=CONDITION), expected)
    other = CONDITION.roll(1, 0)
    assert not torch.allclose(model.decode(z, condition=other), expected), "the label changes the picture of one z"


def test_encoder_sees_the_condition():
    model = model_of(FULL)
    x = batch().x
    (one,), (two,) = (model.encode(x, mean=True, condition=y) for y in (CONDITION, CONDITION.roll(1, 0)))
    assert not torch.allclose(one, two)
    inner = model.encoder.encoder.features(Batch(x))[0]
    torch.testing.assert_close(model.encoder.features(batch())[0], torch.cat([inner, CONDITION], 1))
    unknown = model.encoder.features(batch(None))[0]
    torch.testing.assert_close(unknown[:, -3:], torch.full((3, 3), 1 / 3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("encoder", "shape"),
    [({"kind": "conv", "channels": [4], "hidden": []}, (4 + 3, 4, 4)), ({"kind": "mlp", "hidden": [5]}, (8,))],
)
def test_features_of_any_shape_get_the_condition(encoder: dict[str, Any], shape: tuple[int, ...]):
    model = model_of(FULL, encoder={"kind": "conditional", "encoder": encoder})
    assert model.encoder.feature_shapes == (shape,)
    (feature,) = model.encoder.features(batch())
    spread = feature[:, -3:].flatten(2) if feature.ndim == 4 else feature[:, -3:, None]
    assert (spread == CONDITION.unsqueeze(2)).all()


def test_latent_and_decoder_follow_one_drawn_label():
    """Where no label is given, the one that z was drawn for is the one that the decoder sees."""
    for prior in (FULL["prior"], {"kind": "product", "parts": [FULL["prior"], {"kind": "standard_normal", "dim": 1}]}):
        model = model_of(FULL, prior=prior)
        own = model.prior.parts[0] if prior["kind"] == "product" else model.prior
        with torch.no_grad():  # the labels' latents lie far apart
            last = own.net[-1]
            last.weight.zero_()
            last.bias.zero_()
            own.net[0].weight.copy_(10 * torch.eye(6, 3))
            own.net[0].bias.zero_()
            last.weight[:3, :3] = torch.eye(3)
            last.bias[4:] = -3
        seen: list[Tensor] = []
        model.decoder.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        generate(model, 200)
        z, label = seen[0][0, :, :3], seen[0][0, :, 4:7]
        assert torch.equal(F.one_hot(z.argmax(1), 3).double(), label)
        assert (label.sum(0) > 30).all()


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"prior": PRIOR}, r"prior 'conditional' needs the condition .* the data have none"),
        ({"encoder": FULL["encoder"]}, r"encoder 'conditional' needs the condition .* the data have none"),
    ],
)
def test_data_without_a_condition_are_refused(axes: dict[str, Any], message: str):
    with pytest.raises(BuildError, match=message):
        model_of(FLAT, DataSpec((1, 8, 8), "binary", num_classes=3), **axes)


def test_a_resampled_prior_refuses_a_base_that_differs_between_data():
    with pytest.raises(BuildError, match=r"prior 'resampled' has one acceptance rate .* 'conditional'"):
        model_of(FLAT, prior={"kind": "resampled", "base": PRIOR})


@pytest.mark.parametrize("path", ["plain", "residual"])
def test_the_condition_in_the_readout_reaches_all_groups_of_a_hierarchy(path: str):
    """At the same top latent, another label moves the groups below it and the picture, and without the readout neither."""
    z = torch.randn(1, 4, dtype=torch.float64)
    moved = {}
    for readout in ("latent", "latent_and_condition"):
        prior = {"kind": "top_down", "top": {**PRIOR, "readout": readout}, "groups": [5], "width": 6, "path": path}
        model = model_of(FLAT, prior=prior)
        if path == "residual":
            with torch.no_grad():  # heads start near the standard normal
                model.prior.heads[0].net[-1].weight.mul_(10)
        outcomes = []
        for label in CONDITION[:2]:
            state = model.prior.initial((1, 1), label.unsqueeze(0))
            state = model.prior.advance(0, state, z.unsqueeze(0))
            lower = model.prior.group(1, state)
            state = model.prior.advance(1, state, torch.zeros(1, 1, 5, dtype=torch.float64))
            outcomes.append((lower.loc, model.prior.readout(state)))
        moved[readout] = [not torch.allclose(a, b) for a, b in zip(*outcomes, strict=True)]
    assert moved == {"latent": [False, False], "latent_and_condition": [True, True]}


def test_a_hierarchy_draws_a_label_where_none_is_given():
    prior = {"kind": "top_down", "top": {**PRIOR, "readout": "latent_and_condition"}, "groups": [5], "width": 6}
    model = model_of(FLAT, prior=prior)
    torch.manual_seed(0)
    assert model.sample(7).shape == (7, 1, 8, 8)
    state = model.prior.initial((1, 400))
    assert state.condition.sum(1).eq(1).all()
    assert state.condition.mean(0).sub(1 / 3).abs().max() < 5 * math.sqrt(2 / 9 / 400)
