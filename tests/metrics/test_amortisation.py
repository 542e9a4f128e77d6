"""The parts of the inference gap, where all of them are known."""

from __future__ import annotations

import math

import pytest
import torch

from core.models import flat_model
from vaelab.metrics import EvaluationContext, measure
from vaelab.metrics.amortisation_gap import AmortisationGapConfig
from vaelab.metrics.local_inference import Fit, bounds, fitted, has_diagonal_normal, pass_with, posterior_of
from vaelab.types import Batch

D, Z, SIGMA = 6, 2, 0.7
CONFIG = AmortisationGapConfig(limit=20, steps=200, samples=400)


def gaps(model, split, config=CONFIG, seed=0):
    values = measure([config], model, split, EvaluationContext(seed=seed))
    steps, total = f"steps{config.steps}", f"steps{config.steps}_is{config.samples}"
    names = (f"amortisation_gap_{steps}", f"approximation_gap_{total}", f"inference_gap_{total}")
    assert tuple(values) == names
    for value in values.values():
        assert (value.unit, value.better) == ("nats", "lower")
        assert value.stderr is not None
    return [values[name].value for name in names]


def oblique(linear):
    """The linear model with columns of W that are not orthogonal, and its posterior's precision."""
    model = linear.model()
    [decoder] = [module for module in model.decoder.modules() if isinstance(module, torch.nn.Linear)]
    weight = linear.weight @ torch.tensor([[1.0, 0.8], [0.0, 1.0]])
    with torch.no_grad():
        decoder.weight.copy_(weight)
    return model, weight, torch.eye(Z) + weight.T @ weight / SIGMA**2


def test_no_gap_under_the_exact_posterior(linear, splits_of):
    assert gaps(linear.model(), splits_of(linear.x)) == pytest.approx([0, 0, 0], abs=0.02)


def test_a_wrong_encoder_costs_its_divergence_from_the_exact_posterior(linear, splits_of):
    """Its variances are too large by e^2, and a normal can be the posterior."""
    amortisation, approximation, both = gaps(linear.model(exact=False), splits_of(linear.x))
    expected = Z * (math.e**2 - 1 - 2) / 2
    assert amortisation == pytest.approx(expected, abs=0.1)  # the draws' own error is 0.04 a datum
    assert approximation == pytest.approx(0, abs=0.02)
    assert both == pytest.approx(amortisation + approximation)


def test_correlated_posteriors_cost_an_approximation_gap(linear, splits_of):
    r"""The best diagonal normal has the diagonal of the precision, and is $\frac12 \log(\prod_i \Lambda_{ii} / \det\Lambda)$ away."""
    model, weight, precision = oblique(linear)
    x = linear.x[:20]
    few = gaps(model, splits_of(linear.x), CONFIG.model_copy(update={"samples": 1}))[1]
    _, approximation, both = gaps(model, splits_of(linear.x), CONFIG.model_copy(update={"samples": 8000}))
    expected = (precision.diagonal().log().sum() - precision.logdet()) / 2
    assert expected > 0.2
    # the importance-sampled likelihood is low, and least so for many samples: with one it is the bound itself
    assert few < approximation - 0.1
    assert approximation == pytest.approx(float(expected), abs=0.02)
    # of the whole: KL of the encoder's normal from the exact posterior, datum by datum
    q = posterior_of(model.eval(), Batch(x))
    mean = torch.linalg.solve(precision, weight.T @ (x - linear.bias).T / SIGMA**2).T
    exact = torch.distributions.MultivariateNormal(mean, precision_matrix=precision)
    ours = torch.distributions.MultivariateNormal(q.loc[0], torch.diag_embed(q.scale[0].square()))
    divergence = torch.distributions.kl_divergence(ours, exact).mean().detach()
    assert both == pytest.approx(float(divergence), rel=0.03)


def test_the_fit_finds_the_best_diagonal_normal(linear):
    model, weight, precision = oblique(linear)
    batch = Batch(linear.x[:20])
    torch.manual_seed(0)
    q = fitted(model, batch, Fit(400, 0.05, 16))
    mean = torch.linalg.solve(precision, weight.T @ (batch.x - linear.bias).T / SIGMA**2).T
    scale = precision.diagonal().rsqrt()
    assert q.batch_shape == (1, 20)
    assert ((q.loc[0] - mean) / scale).abs().max() < 0.1
    assert (q.log_scale[0] - scale.log()).abs().max() < 0.1


def test_a_pass_with_the_encoders_posterior_is_that_of_infer(linear):
    model, batch = linear.model(exact=False).double(), Batch(linear.x[:5].double())
    torch.manual_seed(3)
    trace = model.infer(batch, 4)
    torch.manual_seed(3)
    noise = torch.randn(4, 5, Z, dtype=torch.float64)
    other = pass_with(model, batch, posterior_of(model, batch), noise)
    torch.testing.assert_close(other.log_weight, trace.log_weight)
    torch.testing.assert_close(other.total_rate(), trace.total_rate())
    whole, parts = (
        bounds(model, batch, posterior_of(model, batch), pieces) for pieces in ([noise], [noise[:1], noise[1:]])
    )
    torch.testing.assert_close(whole.elbo, (trace.log_px - trace.total_rate()).mean(0))
    torch.testing.assert_close(whole.log_px, trace.log_weight.logsumexp(0) - math.log(4))
    torch.testing.assert_close(parts.elbo, whole.elbo)
    torch.testing.assert_close(parts.log_px, whole.log_px)


def test_nothing_of_the_model_changes_and_the_cut_does_not_matter(linear, splits_of):
    model, split = oblique(linear)[0], splits_of(linear.x)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = CONFIG.model_copy(update={"limit": 4, "steps": 50, "samples": 100})
    whole = gaps(model, split, config)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    # two data at a time, eight draws at a time
    parts = gaps(model, split, config.model_copy(update={"max_elements": 8 * 2 * D}))
    assert parts == pytest.approx(whole, abs=0.35)
    assert parts != whole


def test_other_models_have_none(tiny_splits):
    split = tiny_splits().test
    others = [
        flat_model(posterior="laplace"),
        flat_model(posterior="dirac"),
        flat_model(posterior="full_normal"),
        flat_model(prior={"kind": "top_down", "top": {"kind": "standard_normal", "dim": 2}, "groups": [3], "width": 8}),
    ]
    for model in others:
        assert not has_diagonal_normal(model, split.batches(torch.arange(4), 4))
        assert measure([AmortisationGapConfig.example()], model, split, EvaluationContext()) == {}


@pytest.mark.parametrize("prior", ["standard_normal", "mixture", "vamp"])
def test_works_with_and_without_a_closed_rate(prior, tiny_splits):
    arguments = {"mixture": {"components": 3}, "vamp": {"pseudo_inputs": 3}}.get(prior, {})
    model = flat_model(prior={"kind": prior, "dim": 2, **arguments})
    config = AmortisationGapConfig(limit=24, steps=100, samples=100)
    values = measure([config], model, tiny_splits().test, EvaluationContext())
    gap = values["amortisation_gap_steps100"]
    assert gap.value > 5 * gap.stderr, "of an untrained encoder"
