"""Every metric on models of every structure: flat, hierarchical, over codes, over time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from core.models import applicable
from vaelab.build import build_model
from vaelab.config import ModelConfig
from vaelab.inference import infer_latents
from vaelab.metrics import EvaluationContext, latent_moments, measure, offered
from vaelab.metrics.active_units import ActiveUnitsConfig
from vaelab.metrics.latent_usage import LatentUsageConfig
from vaelab.metrics.negative_elbo import NegativeElboConfig
from vaelab.types import Batch, DataSpec

COMMON: dict[str, Any] = {"encoder": {"kind": "mlp", "hidden": [8]}, "posterior": "diagonal_normal"}
COMMON |= {"decoder": {"kind": "mlp", "hidden": [8]}, "likelihood": "bernoulli"}
MODELS: dict[str, dict[str, Any]] = {
    "flat": {**COMMON, "prior": {"kind": "standard_normal", "dim": 3}},
    "hierarchy": {**COMMON, "prior": {"kind": "top_down", "top": {"kind": "standard_normal", "dim": 3}, "groups": [4]}},
    "codes": {
        **COMMON,
        "encoder": {"kind": "conv", "channels": [4], "hidden": []},
        "posterior": "vq",
        "prior": {"kind": "uniform_codes", "codes": 8, "dim": 4, "positions": [4, 4]},
    },
    "chain": {
        **COMMON,
        "encoder": {"kind": "gru", "hidden": 8},
        "prior": {"kind": "markov_chain", "steps": 8, "dim": 3, "hidden": 8},
        "decoder": {"kind": "per_step", "hidden": [8]},
    },
}


def made(name: str):
    torch.manual_seed(0)
    return build_model(ModelConfig.model_validate(MODELS[name]), DataSpec((1, 8, 8), "binary", 3))


@pytest.mark.parametrize("name", MODELS)
def test_every_metric_is_finite_repeatable_and_leaves_no_trace(name, tiny_splits):
    model, split = made(name).train(), tiny_splits().test
    weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    configs = applicable(model, split)
    first = measure(configs, model, split, EvaluationContext(batch_size=7, seed=5))
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, weights[key]) for key, tensor in model.state_dict().items())
    assert measure(configs, model, split, EvaluationContext(batch_size=7, seed=5)) == first
    assert all(math.isfinite(value.value) for value in first.values())
    assert {"negative_elbo", "distortion", "rate"} <= first.keys()
    other = measure(configs, model, split, EvaluationContext(batch_size=7, seed=6))
    # the choice among codes is the one deterministic posterior
    assert (other["distortion"] == first["distortion"]) == (name == "codes")


@pytest.mark.parametrize("name", ["hierarchy", "chain"])
def test_rates_by_group_sum_to_the_rate(name, tiny_splits):
    values = measure([NegativeElboConfig()], made(name), tiny_splits().test, EvaluationContext())
    groups = [value.value for key, value in values.items() if key.startswith("rate/group_")]
    assert len(groups) == made(name).depth
    assert sum(groups) == pytest.approx(values["rate"].value, rel=1e-6)


def test_a_flat_model_has_no_values_by_group(tiny_splits):
    configs = [NegativeElboConfig(), ActiveUnitsConfig(), LatentUsageConfig()]
    values = measure(configs, made("flat"), tiny_splits().test, EvaluationContext())
    assert not [name for name in values if "group" in name]


def test_codes_have_usage_and_no_active_units(tiny_splits):
    model, split = made("codes"), tiny_splits().test
    values = measure([ActiveUnitsConfig(), LatentUsageConfig()], model, split, EvaluationContext(batch_size=10))
    assert values.keys() == {"codes_used", "code_perplexity"}
    with torch.no_grad(), model.evaluating():
        index = infer_latents(model, split.fetch(torch.arange(len(split))))[0][0].q.index
    counts = torch.bincount(index.flatten(), minlength=8).double()
    entropy = torch.distributions.Categorical(counts).entropy().exp().item()
    assert values["codes_used"].value == (counts > 0).sum().item()
    assert values["code_perplexity"].value == pytest.approx(entropy, rel=1e-6)


def test_latents_are_those_of_infer(tiny_splits):
    model, batch = made("hierarchy"), tiny_splits().test.fetch(torch.arange(4))
    torch.manual_seed(1)
    expected = model.infer(batch, 3)
    torch.manual_seed(1)
    drawn, _ = infer_latents(model, batch, 3)
    for group, other in zip(drawn, expected.groups, strict=True):
        assert torch.equal(group.z, other.z)
        assert torch.equal(group.q.mean, other.q.mean)


def test_moments_without_a_closed_mean_are_not_inflated_by_noise(linear, splits_of, monkeypatch):
    split, context = splits_of(linear.x.repeat(20, 1)), EvaluationContext()
    model = linear.model()
    with torch.no_grad():
        known = latent_moments(model, context.batches(split))[0]
        monkeypatch.setattr("vaelab.metrics.passes.offered", lambda q, name: None)
        estimated = latent_moments(model, context.batches(split), samples=2)[0]
    # averages of two draws carry half the posterior's variance as noise, which must not show
    noise = linear.posterior_variance.double() / 2
    assert torch.all((estimated.signal - known.signal).abs() < 0.3 * noise)


def test_offered_is_none_where_there_is_no_closed_form():
    class Nameless(torch.distributions.Distribution):
        pass

    assert offered(Nameless(validate_args=False), "mean") is None
    assert offered(torch.distributions.Normal(2.0, 1.0), "mean") == 2.0


def test_batches_come_in_order_and_stop_at_the_limit(splits_of):
    split = splits_of(torch.arange(10.0).unsqueeze(1))
    batches: list[Batch] = list(EvaluationContext(batch_size=4, limit=9).limited(6).batches(split))
    assert [batch.x.flatten().tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5]]


def test_a_limit_is_the_first_data_alone(tiny_splits):
    split, whole = tiny_splits().test, EvaluationContext(batch_size=4)
    for name, config in (("flat", ActiveUnitsConfig), ("flat", LatentUsageConfig), ("codes", LatentUsageConfig)):
        model = made(name)
        limited = measure([config(limit=9)], model, split, whole)
        assert limited == measure([config()], model, split, EvaluationContext(batch_size=4, limit=9))
        if config is LatentUsageConfig:
            assert limited != measure([config()], model, split, whole)
