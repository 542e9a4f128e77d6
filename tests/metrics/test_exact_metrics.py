"""Metrics against numbers known in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from vaelab.errors import ConfigError, DataError
from vaelab.inference import infer_latents
from vaelab.metrics import EvaluationContext, averaged, latent_moments, measure
from vaelab.metrics.active_units import ActiveUnitsConfig
from vaelab.metrics.importance_nll import ImportanceNLLConfig
from vaelab.metrics.latent_usage import LatentUsageConfig
from vaelab.metrics.mutual_information import MutualInformationConfig
from vaelab.metrics.negative_elbo import NegativeElboConfig
from vaelab.metrics.reconstruction import ReconstructionConfig


def test_averaged_weighs_each_datum_alike():
    value = averaged([torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0])], better="lower")
    assert value.value == 4.0
    assert value.stderr == pytest.approx(torch.tensor([1.0, 2.0, 3.0, 10.0]).std().item() / 2)
    assert averaged([torch.tensor([5.0])]).stderr is None


def test_with_the_exact_posterior_every_estimate_is_the_likelihood(linear, splits_of):
    split, truth = splits_of(linear.x), -linear.marginal.log_prob(linear.x)
    values = measure([ImportanceNLLConfig(samples=3)], linear.model(), split, EvaluationContext(batch_size=7))
    assert values["nll_is3"].value == pytest.approx(truth.mean().item(), abs=1e-4)
    assert values["nll_is3"].stderr == pytest.approx(truth.std().item() / math.sqrt(50), rel=1e-4)
    assert values["ess_is3"].value == pytest.approx(3, abs=1e-4)


def test_the_bound_falls_towards_the_likelihood_as_samples_grow(linear, splits_of):
    split, truth = splits_of(linear.x.repeat(8, 1)), -linear.marginal.log_prob(linear.x).mean().item()
    configs = [ImportanceNLLConfig(samples=samples) for samples in (1, 4, 64, 2000)]
    values = measure(configs, linear.model(exact=False), split, EvaluationContext())
    bounds = [values[f"nll_is{samples}"].value for samples in (1, 4, 64, 2000)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > truth + 0.3
    assert bounds[-1] == pytest.approx(truth, abs=0.01)
    assert 1 < values["ess_is64"].value < 64


def test_negative_elbo_of_the_linear_model(linear, splits_of):
    split, model = splits_of(linear.x), linear.model()
    context = EvaluationContext(batch_size=20)
    values = measure([NegativeElboConfig(samples=400)], model, split, context)
    truth = -linear.marginal.log_prob(linear.x).mean().item()
    variance = linear.posterior_variance
    mean = (linear.x - linear.bias) @ linear.weight * variance / 0.7**2
    rate = 0.5 * (variance + mean.square() - 1 - variance.log()).sum(1).mean().item()
    assert values["rate"].value == pytest.approx(rate, abs=1e-4)
    assert values["negative_elbo"].value == pytest.approx(truth, abs=0.02)
    assert values["negative_elbo"].value == pytest.approx(values["rate"].value + values["distortion"].value, abs=1e-6)


@pytest.mark.parametrize("config", [NegativeElboConfig(), ImportanceNLLConfig(samples=2), ReconstructionConfig()])
def test_the_smaller_last_batch_weighs_what_its_data_do(linear, splits_of, config):
    model = linear.model()
    (head,) = [m for m in model.posterior.modules() if isinstance(m, torch.nn.Linear)]
    if not isinstance(config, ImportanceNLLConfig):  # whose weights are equal for the exact posterior
        with torch.no_grad():
            head.bias[2:] = -30.0  # a scale so small that the draws do not matter
    x = linear.x[:5].clone()  # the last is far off and alone in its batch
    x[4] += 10
    whole = measure([config], model, splits_of(x), EvaluationContext(batch_size=5))
    parts = measure([config], model, splits_of(x), EvaluationContext(batch_size=4))
    for name, value in whole.items():
        assert parts[name].value == pytest.approx(value.value, rel=1e-4), name
        if value.stderr is not None:
            assert parts[name].stderr == pytest.approx(value.stderr, rel=1e-3, abs=1e-5), name


def test_reconstruction_errors(linear, splits_of):
    model, shift = linear.model(), torch.tensor([1.0, -2.0, 0.0, 0.0, 0.0, 3.0])
    (decoder,) = [m for m in model.decoder.modules() if isinstance(m, torch.nn.Linear)]
    with torch.no_grad():
        decoder.weight.zero_()
        decoder.bias.zero_()
    values = measure([ReconstructionConfig(samples=3)], model, splits_of(shift.repeat(4, 1)), EvaluationContext())
    assert values["reconstruction_mse"].value == pytest.approx(14 / 6)
    assert values["reconstruction_mae"].value == pytest.approx(1.0)


def known_units(linear, means: torch.Tensor):
    """Data whose two posterior means are `means`, exactly."""
    x = means / (linear.weight.square().sum(0) * linear.posterior_variance / 0.7**2)
    return x @ linear.weight.T + linear.bias


def test_active_units_of_known_variances(linear, splits_of):
    # unit 0 varies with variance 0.04, unit 1 with 0.0025, neither around 0
    signs = torch.tensor([1.0, -1.0]).repeat(20)
    means = torch.stack([0.2 * signs + 1, 0.05 * signs.roll(1) - 2], 1)
    x, context = known_units(linear, means), EvaluationContext(batch_size=9)
    model, split = linear.model(), splits_of(x)
    moments = latent_moments(model, context.batches(split))[0]
    assert torch.allclose(moments.signal, torch.tensor([0.04, 0.0025]).double() * 40 / 39, rtol=1e-3)
    values = measure(
        [ActiveUnitsConfig(), ActiveUnitsConfig(threshold=0.001), ActiveUnitsConfig(threshold=0.1)],
        model,
        split,
        context,
    )
    assert (values["active_units_0.01"].value, values["active_fraction_0.01"].value) == (1, 0.5)
    assert (values["active_units_0.001"].value, values["active_units_0.1"].value) == (2, 0)


def test_latent_usage_splits_the_variance(linear, splits_of):
    means = torch.tensor([[2.0, 0.0], [-2.0, 0.0]]).repeat(200, 1)
    split = splits_of(known_units(linear, means))
    values = measure([LatentUsageConfig(samples=50)], linear.model(), split, EvaluationContext())
    variance = linear.posterior_variance
    assert values["posterior_variance"].value == pytest.approx(variance.mean().item(), rel=0.03)
    explained = 4 / (4 + variance[0].item()) / 2  # unit 1 does not vary with x
    assert values["explained_variance"].value == pytest.approx(explained, abs=0.005)


def test_mutual_information_of_separate_and_of_equal_posteriors(linear, splits_of):
    context, config = EvaluationContext(batch_size=3), MutualInformationConfig(limit=8, max_elements=10)
    corners = torch.tensor([[a, b] for a in (-30.0, 30.0) for b in (-30.0, -10.0, 10.0, 30.0)])
    apart = splits_of(known_units(linear, corners))
    together = splits_of(known_units(linear, torch.zeros(8, 2)))
    model = linear.model()
    assert measure([config], model, apart, context)["mutual_information"].value == pytest.approx(math.log(8), abs=1e-4)
    values = measure([config, NegativeElboConfig()], model, together, context)
    assert values["mutual_information"].value == pytest.approx(0, abs=1e-4)


def test_mutual_information_and_aggregate_kl_make_the_rate(linear, splits_of):
    split = splits_of(linear.x.repeat(8, 1))
    values = measure([MutualInformationConfig(), NegativeElboConfig()], linear.model(), split, EvaluationContext())
    total = values["mutual_information"].value + values["aggregate_kl"].value
    assert total == pytest.approx(values["rate"].value, abs=5 * values["aggregate_kl"].stderr)
    assert 0.5 < values["mutual_information"].value < math.log(50)


def test_mutual_information_is_that_of_the_exact_mixture(linear, splits_of, monkeypatch):
    seen = []

    def keep(*args):
        seen.extend(infer_latents(*args)[0])
        return seen[-1:], None

    monkeypatch.setattr("vaelab.metrics.mutual_information.infer_latents", keep)
    split, config = splits_of(linear.x), MutualInformationConfig(limit=50, max_elements=30)
    values = measure([config], linear.model(exact=False), split, EvaluationContext(batch_size=7))
    z, log_q = torch.cat([group.z[0] for group in seen]), torch.cat([group.log_q[0] for group in seen])
    pairs = torch.cat([group.q.log_prob(z.unsqueeze(1)) for group in seen], 1)  # each draw under each posterior
    assert pairs.shape == (50, 50)
    expected = (log_q - pairs.logsumexp(1)).mean().item() + math.log(50)
    assert values["mutual_information"].value == pytest.approx(expected, abs=1e-5)


def test_mutual_information_of_one_datum(linear, splits_of):
    with pytest.raises(DataError, match="needs 2 data"):
        measure([MutualInformationConfig()], linear.model(), splits_of(linear.x[:1]), EvaluationContext())


def test_two_metrics_of_one_name_and_empty_splits_are_refused(linear, splits_of):
    model, split = linear.model(), splits_of(linear.x)
    with pytest.raises(ConfigError, match="ess_is2"):
        measure([ImportanceNLLConfig(samples=2), ImportanceNLLConfig(samples=2)], model, split, EvaluationContext())
    with pytest.raises(DataError, match="empty"):
        measure([ImportanceNLLConfig(samples=2)], model, splits_of(linear.x[:0]), EvaluationContext())
