"""What holds for each component of the five axes, in the first composition that takes it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from contracts.compositions import BATCH, components, partners, train
from vaelab.errors import NoDensityError
from vaelab.training.precision import LayersInBfloat16

EACH = pytest.mark.parametrize(("axis", "kind"), components())


@EACH
def test_two_steps_reach_every_parameter(axis: str, kind: str):
    composition = partners(axis, kind)
    model, objective = composition.build()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    history, touched = train(model, objective, composition.batch(), steps=2)
    assert all(math.isfinite(loss) for loss in history)
    assert touched.keys() >= before.keys()
    without = [name for name, gradient in touched.items() if gradient is None]
    assert not without, f"never in the graph: {without}"
    zero = [name for name, gradient in touched.items() if not gradient > 0]
    assert not zero, f"the gradient stayed at zero (or is NaN): {zero}"
    unchanged = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert not unchanged


@EACH
@pytest.mark.parametrize("samples", [1, 3])
def test_shapes_of_a_pass(axis: str, kind: str, samples: int):
    composition = partners(axis, kind)
    model, _ = composition.build()
    trace = model.infer(composition.batch(), samples)
    shape = (samples, BATCH)
    assert trace.samples == samples
    assert trace.log_px.shape == shape
    if trace.has_density:
        assert trace.log_weight.shape == shape
        assert trace.total_rate().shape == shape
        assert torch.isfinite(trace.log_weight).all()
    else:
        with pytest.raises(NoDensityError):
            trace.log_weight  # noqa: B018  a property
    assert len(trace.groups) == model.depth == model.prior.latent.depth
    for i, (group, spec) in enumerate(zip(trace.groups, model.prior.latent.groups, strict=True)):
        assert group.z.shape == (*shape, *spec.shape)
        assert group.q is not None
        assert group.q.batch_shape == shape
        assert group.q.event_shape == group.p.event_shape == spec.shape
        assert group.log_p.expand(shape).shape == shape
        if group.has_density:
            assert group.log_q.shape == shape
            assert trace.rate(i).shape == shape
        if group.penalty is not None:
            assert group.penalty.shape == shape
    assert trace.likelihood.batch_shape == shape
    assert trace.likelihood.event_shape == composition.data.shape


@EACH
def test_layers_in_bfloat16_leave_densities_alone(axis: str, kind: str):
    composition = partners(axis, kind)
    model, objective = composition.build()
    precision = LayersInBfloat16(model, torch.device("cpu"))
    with precision():
        trace = model.infer(composition.batch(), 2)
        found = [trace.log_px, *(group.z for group in trace.groups)]
        if trace.has_density:
            found += [trace.log_weight, trace.total_rate()]
        history, touched = train(model, objective, composition.batch(), steps=1)
    assert {tensor.dtype for tensor in found} == {torch.float32}
    assert all(torch.isfinite(tensor).all() for tensor in found)
    assert all(math.isfinite(loss) for loss in history)
    assert all(gradient is not None and math.isfinite(gradient) for gradient in touched.values())


@EACH
def test_cached_log_q_is_the_density_of_the_sample(axis: str, kind: str):
    """A draw may bring its log-density along; it must be the one that log_prob gives."""
    composition = partners(axis, kind)
    model, _ = composition.build()
    model = model.double().eval()
    for group in model.infer(composition.batch(dtype=torch.float64), 2).groups:
        assert group.q is not None
        if not group.q.has_log_prob:
            with pytest.raises(NoDensityError):
                group.q.log_prob(group.z)
        elif group.has_density:
            torch.testing.assert_close(group.log_q, group.q.log_prob(group.z), rtol=1e-6, atol=1e-6)


@EACH
def test_weights_survive_safetensors(axis: str, kind: str, tmp_path: Path):
    composition = partners(axis, kind)
    model, objective = composition.build()
    train(model, objective, composition.batch(), steps=1)  # buffers that are running means have moved
    path = tmp_path / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    other, _ = composition.build(seed=1)

    def outputs(of):
        of.eval()
        torch.manual_seed(4)
        with torch.no_grad():
            trace = of.infer(composition.batch(), 2)
            return trace.log_px, trace.log_weight if trace.has_density else trace.log_px, of.sample(3)

    expected = outputs(model)
    assert any(not torch.equal(a, b) for a, b in zip(expected, outputs(other), strict=True))
    other.load_state_dict(load_file(path), strict=True)
    for a, b in zip(expected, outputs(other), strict=True):
        assert torch.equal(a, b)


@EACH
def test_user_methods(axis: str, kind: str):
    composition = partners(axis, kind)
    model, _ = composition.build()
    model.train()
    x, shape = composition.batch(5).x, composition.data.shape
    groups = [spec.shape for spec in model.prior.latent.groups]
    for mean in (False, True):
        zs = model.encode(x, mean=mean)
        assert [tuple(z.shape) for z in zs] == [(5, *group) for group in groups]
    assert model.decode(zs).shape == (5, *shape)
    assert model.reconstruct(x).shape == (5, *shape)
    assert model.sample(4).shape == (4, *shape)
    assert torch.isfinite(model.sample(4)).all()
    with model.evaluating():
        generation = model.generate(3)
        assert [tuple(z.shape) for z in generation.zs] == [(3, *group) for group in groups]
        assert generation.mean.shape == (3, *shape)
        assert generation.sample().shape == (3, *shape)
        kept = model.generate(3, fixed={0: generation.zs[0]})
        assert torch.equal(kept.zs[0], generation.zs[0])
    assert model.training, "the mode is as it was"
    with pytest.raises(ValueError, match="latent groups"):
        model.decode((*zs, zs[0]))
    for temperature in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="temperature"):
            model.generate(2, temperature)


@EACH
def test_encoding_is_independent_of_the_rest_of_the_batch(axis: str, kind: str):
    """In evaluation a datum's parameters are its own: nothing may leak along the batch."""
    composition = partners(axis, kind)
    model, _ = composition.build()
    model = model.double().eval()
    x = composition.batch(6, dtype=torch.float64).x
    alone = model.encode(x[2:3], mean=True)
    together = model.encode(x, mean=True)
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(a, b[2:3])
    torch.testing.assert_close(model.decode(together)[2:3], model.decode(alone))


@EACH
def test_double_precision(axis: str, kind: str):
    composition = partners(axis, kind)
    model, objective = composition.build()
    model, objective = model.double(), objective.double()
    history, _ = train(model, objective, composition.batch(dtype=torch.float64), steps=1)
    assert math.isfinite(history[0])
    trace = model.infer(composition.batch(dtype=torch.float64), 2)
    assert trace.log_px.dtype == torch.float64
    assert not trace.has_density or trace.log_weight.dtype == torch.float64
    assert all(group.z.dtype == torch.float64 for group in trace.groups)
    assert model.sample(2).dtype == torch.float64


@EACH
def test_fixed_latents(axis: str, kind: str):
    composition = partners(axis, kind)
    model, _ = composition.build()
    model = model.double().eval()
    batch = composition.batch(dtype=torch.float64)
    zs = model.generate(BATCH).zs
    trace = model.infer(batch, 3, fixed={0: zs[0]})
    first = trace.groups[0]
    assert first.q is None
    assert torch.equal(first.z, zs[0].expand(3, *zs[0].shape))
    assert torch.count_nonzero(first.log_q) == 0
    assert torch.isfinite(trace.log_weight).all()
    # all latents given: the weight is the joint density, the same for every sample
    given = model.infer(batch, 3, fixed=dict(enumerate(zs)))
    joint = given.log_px + sum(group.log_p for group in given.groups)
    torch.testing.assert_close(given.log_weight, joint)
    torch.testing.assert_close(given.log_weight[0], given.log_weight[2])
    # and the group may carry one value a sample
    per_sample = torch.stack([zs[0], zs[0].roll(1, 0), zs[0]])
    assert torch.equal(model.infer(batch, 3, fixed={0: per_sample}).groups[0].z, per_sample)


@EACH
def test_building_leaves_the_random_state_to_the_weights(axis: str, kind: str):
    """Two builds from one seed are equal, weight by weight."""
    composition = partners(axis, kind)
    one, two = composition.build()[0].state_dict(), composition.build()[0].state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
