"""The interface that every distribution keeps: shapes, map, expand, detach, temperature."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from distributions.examples import BATCH, INSTANCES, classes, make
from vaelab.distributions import (
    AutoregressiveCodes,
    Bits,
    Dirac,
    Distribution,
    Mixture,
    NormalFlow,
    OneHot,
    PictureScore,
    QuantisedCodes,
    event_sum,
)
from vaelab.distributions.base import parameters_of

#: One that scores its own draws only is tested in test_hamiltonian.
EACH = pytest.mark.parametrize("name", [name for name in INSTANCES if make(name).has_log_prob])
#: A fitted scale depends on the value that is scored, so it has no draw.
DRAWN = pytest.mark.parametrize("name", [name for name in INSTANCES if name != "optimal_scale"])


def value_of(distribution: Distribution) -> Tensor:
    """Something to score."""
    try:
        return distribution.sample()
    except NotImplementedError:
        return distribution.mean + 0.1


def test_each_class_has_an_instance():
    covered = {type(make(name)) for name in INSTANCES}
    missing = {cls.__name__ for cls in classes()} - {cls.__name__ for cls in covered}
    assert not missing, f"add instances of {missing} to tests/distributions/examples.py"


@EACH
def test_log_prob_has_the_batch_shape(name: str):
    distribution = make(name)
    assert distribution.batch_shape == BATCH
    value = value_of(distribution)
    assert value.shape == (*BATCH, *distribution.event_shape)
    assert distribution.log_prob(value).shape == BATCH
    assert distribution.log_prob(value).dtype == torch.float64


@DRAWN
def test_sample_shapes_and_no_gradient(name: str):
    distribution = make(name).map(lambda tensor, n: tensor.requires_grad_() if tensor.is_floating_point() else tensor)
    sample = distribution.sample(torch.Size((5, 7)))
    assert sample.shape == (5, 7, *BATCH, *distribution.event_shape)
    assert not sample.requires_grad
    assert sample.dtype == torch.float64


@EACH
def test_rsample_is_offered_or_refused_as_announced(name: str):
    distribution = make(name)
    if name == "optimal_scale":
        pytest.skip("has no draw, see above")
    if distribution.has_rsample:
        draw = distribution.draw()
        assert draw.z.shape == (*BATCH, *distribution.event_shape)
        if draw.log_q is not None:
            torch.testing.assert_close(draw.log_q, distribution.log_prob(draw.z))
    else:
        with pytest.raises(NotImplementedError):
            distribution.rsample()


@EACH
def test_expand_repeats(name: str):
    distribution = make(name)
    expanded = distribution.expand(torch.Size((5, *BATCH)))
    assert type(expanded) is type(distribution)
    assert expanded.batch_shape == (5, *BATCH)
    assert expanded.event_shape == distribution.event_shape
    if name == "optimal_scale":  # its scale is that of the whole batch
        return
    value = value_of(distribution)
    torch.testing.assert_close(
        expanded.log_prob(value.expand(5, *value.shape)), distribution.log_prob(value).expand(5, *BATCH)
    )
    sample = expanded.sample()
    assert sample.shape == (5, *BATCH, *distribution.event_shape)
    if not isinstance(distribution, (QuantisedCodes, Dirac, PictureScore)):
        assert not torch.equal(sample[0], sample[1]), "each repetition is drawn on its own"


@EACH
def test_map_applies_to_every_parameter_with_its_event_axes(name: str):
    distribution = make(name)
    first = distribution.map(lambda tensor, n: tensor[0] if tensor.ndim > n + 1 else tensor)
    assert first.batch_shape == BATCH[1:]
    assert first.event_shape == distribution.event_shape
    if name != "optimal_scale":
        value = value_of(distribution)
        torch.testing.assert_close(first.log_prob(value[0]), distribution.log_prob(value)[0])


@EACH
def test_detached_has_the_same_density_and_no_parameters_in_the_graph(name: str):
    distribution = make(name).map(lambda tensor, n: tensor.requires_grad_() if tensor.is_floating_point() else tensor)
    detached = distribution.detached()
    assert type(detached) is type(distribution)
    value = value_of(distribution)
    torch.testing.assert_close(detached.log_prob(value), distribution.log_prob(value))
    assert not any(parameter.requires_grad for parameter in parameters_of(detached))
    # the gradient with respect to the value is what remains, and it is what sticking the landing wants
    value = value.detach().clone().requires_grad_()
    score = detached.log_prob(value)
    if score.requires_grad:
        score.sum().backward()
        assert value.grad is not None
    assert all(parameter.grad is None for parameter in parameters_of(distribution) if parameter.is_leaf)


@EACH
def test_temperature_one_changes_nothing(name: str):
    distribution = make(name)
    same = distribution.tempered(1.0)
    value = value_of(distribution)
    assert torch.equal(same.log_prob(value), distribution.log_prob(value))


@EACH
def test_other_temperatures_are_honoured_or_refused(name: str):
    distribution = make(name)
    value = value_of(distribution)
    try:
        cold = distribution.tempered(0.5)
    except ValueError:
        with pytest.raises(ValueError, match=type(distribution).__name__):
            distribution.tempered(0.5)
        return
    assert cold.log_prob(value).shape == BATCH
    if isinstance(distribution, (Bits, OneHot)):
        # the odds of any two outcomes are raised to the power 1 / 0.5
        other = distribution.sample()
        odds = distribution.log_prob(value) - distribution.log_prob(other)
        torch.testing.assert_close(cold.log_prob(value) - cold.log_prob(other), 2 * odds)
        return
    if isinstance(distribution, AutoregressiveCodes):
        return  # by enumeration in test_code_sequences
    if isinstance(distribution, NormalFlow):
        torch.testing.assert_close(cold.base.scale, 0.5 * distribution.base.scale)
        return
    torch.testing.assert_close(cold.mean, distribution.mean)
    normal, cold_normal = distribution, cold
    if isinstance(distribution, Mixture):
        assert torch.equal(cold.logits, distribution.logits)
        normal, cold_normal = distribution.components, cold.components
    reference = torch.distributions.Normal(normal.mean, 0.5 * normal.variance.sqrt())
    at = torch.randn_like(normal.mean)
    torch.testing.assert_close(
        cold_normal.log_prob(at), event_sum(reference.log_prob(at), len(distribution.event_shape))
    )


@DRAWN
def test_mean_is_the_mean_of_the_draws(name: str):
    distribution = make(name)
    try:
        mean = distribution.mean
    except NotImplementedError:
        pytest.skip("has no mean")
    if name == "autoregressive":
        pytest.skip("what it calls its mean is a picture; see test_autoregressive.py")
    draws = distribution.sample(torch.Size((20_000,)))
    error = draws.std(0) / 20_000**0.5
    assert ((draws.mean(0) - mean).abs() <= 5 * error + 1e-12).all()


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 3, 4)])
@pytest.mark.parametrize("event_ndim", [0, 1, 2, 3])
def test_event_sum(shape: tuple[int, ...], event_ndim: int):
    tensor = torch.randn(5, 6, *shape, dtype=torch.float64)
    axes = tuple(range(-event_ndim, 0))
    torch.testing.assert_close(event_sum(tensor, event_ndim), tensor.sum(axes) if axes else tensor)
