"""The metrics that encode data with known factors."""

from __future__ import annotations

import pytest
import torch

from vaelab.build import build_model
from vaelab.config import ModelConfig
from vaelab.datasets.sprites import Sprites, SpritesConfig
from vaelab.errors import ConfigError, DataError
from vaelab.metrics import EvaluationContext, measure
from vaelab.metrics.disentanglement import mig
from vaelab.metrics.factor_codes import FactorMetricConfig, encode
from vaelab.metrics.udr import rank_models
from vaelab.registry import METRICS

FACTOR_METRICS = [entry for entry in METRICS if issubclass(entry.config, FactorMetricConfig)]
NAMES = {
    "beta_vae_score": {"beta_vae_score_l8_n100"},
    "factor_vae_score": {"factor_vae_score_l8_n100"},
    "mig": {"mig_bins20_n100"},
    "rmig": {"rmig_bins20_n100"},
    "dci": {f"dci_{part}_forest_n100" for part in ("disentanglement", "completeness", "informativeness")},
    "sap": {"sap_svm_n100"},
    "modularity_explicitness": {"modularity_bins20_n100", "explicitness_auc_n100"},
    "irs": {"irs_q0.99_n100"},
}


def made(spec, posterior="diagonal_normal", prior=None):
    config = {
        "encoder": {"kind": "mlp", "hidden": [32]},
        "posterior": posterior,
        "prior": prior or {"kind": "standard_normal", "dim": 3},
        "decoder": {"kind": "mlp", "hidden": [8]},
        "likelihood": {"kind": "bernoulli", "grey": True},
    }
    return build_model(ModelConfig.model_validate(config), spec)


@pytest.fixture(scope="module")
def sprites():
    return Sprites(SpritesConfig(size=16, scales=2, orientations=4, positions=4, test_fraction=0.5)).load()


@pytest.fixture(scope="module")
def model(sprites):
    torch.manual_seed(0)
    return made(sprites.test.spec)


def test_each_has_a_test():
    assert {entry.kind for entry in FACTOR_METRICS} == set(NAMES)


@pytest.mark.parametrize("entry", FACTOR_METRICS, ids=lambda entry: entry.kind)
def test_values_and_names(entry, model, sprites):
    config = entry.config.example().model_copy(update={"limit": 100})
    values = measure([config], model, sprites.test, EvaluationContext(batch_size=64))
    assert {name for name in values if "/" not in name} == NAMES[entry.kind]
    assert {name.split("/")[1] for name in values if "/" in name} <= {"shape", "scale", "orientation", "x", "y"}
    for name, value in values.items():
        assert 0 <= value.value <= 1, name
        assert (value.unit, value.better) == ("", "higher")
    torch.rand(3)  # what was drawn before does not matter
    again = measure([config], model, sprites.test, EvaluationContext(batch_size=64))
    assert {name: value.value for name, value in again.items()} == {name: value.value for name, value in values.items()}


def test_the_mean_over_factors_is_the_score(model, sprites):
    values = measure([METRICS["mig"].config(limit=150)], model, sprites.test, EvaluationContext())
    codes = encode(model, sprites.test.batches(torch.arange(150), 40))
    expected = mig(codes.mean, codes.factors)
    assert values["mig_bins20_n150"].value == pytest.approx(expected.mean())
    assert [value.value for name, value in values.items() if "/" in name] == pytest.approx(expected)


def test_the_name_tells_how_many_data_there_were(model, sprites):
    values = measure([METRICS["mig"].config()], model, sprites.test, EvaluationContext())
    assert f"mig_bins20_n{len(sprites.test)}" in values
    values = measure(
        [METRICS["factor_vae_score"].config(threshold=0.0)], model, sprites.test, EvaluationContext(limit=80)
    )
    assert list(values) == ["factor_vae_score_l64_var0_n80"]


def test_codes_are_those_of_a_known_posterior(linear, splits_of):
    model = linear.model()
    found = encode(model, splits_of(linear.x).batches(torch.arange(50), 20))
    gain = linear.posterior_variance[:, None] * linear.weight.T / 0.7**2
    mean = ((linear.x - linear.bias) @ gain.T).double()
    assert found.mean == pytest.approx(mean.numpy(), abs=1e-5)
    assert found.scale == pytest.approx(linear.posterior_variance.sqrt().double().expand(50, 2).numpy(), abs=1e-5)
    variance = linear.posterior_variance.double()
    rate = (variance + mean.square().mean(0) - 1 - variance.log()) / 2
    assert found.rate == pytest.approx(rate.numpy(), abs=1e-5)
    assert found.factors is None
    trace = model.infer(next(splits_of(linear.x).batches(torch.arange(50), 50)))
    assert found.rate.sum() == pytest.approx(float(trace.total_rate().mean().detach()), rel=1e-5)


def test_groups_stand_side_by_side(sprites):
    prior = {"kind": "top_down", "top": {"kind": "standard_normal", "dim": 2}, "groups": [3], "width": 8}
    model = made(sprites.test.spec, prior=prior)
    batches = list(sprites.test.batches(torch.arange(60), 60))
    both, second = encode(model, batches), encode(model, batches, (1,))
    assert (both.mean[:, -second.mean.shape[1] :] == second.mean).all()
    assert (both.mean.shape[1], second.mean.shape[1], len(both.rate)) == (5, 3, 5)
    with pytest.raises(ConfigError, match="no latent group 2"):
        encode(model, batches, (2,))


def test_rmig_needs_normal_posteriors(sprites):
    model = made(sprites.test.spec, "dirac")
    assert measure([METRICS["rmig"].config(limit=50)], model, sprites.test, EvaluationContext()) == {}
    assert measure([METRICS["mig"].config(limit=50)], model, sprites.test, EvaluationContext())
    with pytest.raises(DataError, match="only diagonal normal"):
        rank_models([model, model], sprites.test)


def test_data_without_factors_are_refused(tiny_splits):
    splits = tiny_splits()
    model = made(splits.test.spec)
    with pytest.raises(DataError, match=r"metric 'mig' compares codes with known factors.*sprites"):
        measure([METRICS["mig"].config()], model, splits.test, EvaluationContext())


def test_factors_that_do_not_vary_are_left_out(model):
    config = SpritesConfig(size=16, scales=2, orientations=4, positions=4, held_out={"shape": (1,)})
    split = Sprites(config).load().test
    values = measure([METRICS["mig"].config()], model, split, EvaluationContext())
    assert [name.split("/")[1] for name in values if "/" in name] == ["scale", "orientation", "x", "y"]
    with pytest.raises(DataError, match="no factor varies in the first 1 data"):
        measure([METRICS["mig"].config(limit=1)], model, split, EvaluationContext())


def test_models_are_ranked_by_their_agreement(sprites, model):
    torch.manual_seed(5)
    other = made(sprites.test.spec)
    scores = rank_models(
        [model, model, other], sprites.test, EvaluationContext(batch_size=64), limit=100, threshold=0.0
    )
    assert scores.shape == (3,)
    # one of the two scores of a model with a copy is that of the copy, the best there is
    assert min(scores[:2]) > scores[2]
    assert scores[0] == pytest.approx(scores[1])
