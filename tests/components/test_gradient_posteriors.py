"""Posteriors that follow the gradient of the joint density: Hamiltonian and semi-amortised."""

from __future__ import annotations

import math

import pytest
import torch

from core.models import HIERARCHY, bits, flat_model, losses, model_and
from made_up import make_splits
from vaelab.errors import BuildError
from vaelab.inference import log_joint
from vaelab.metrics import EvaluationContext, measure
from vaelab.registry import METRICS
from vaelab.types import Batch

KINDS = pytest.mark.parametrize("kind", ["hamiltonian", "semi_amortised"])


def doubled(**posterior):
    model = flat_model(posterior=posterior).double()
    with torch.no_grad():  # an encoder that is off, so that there is something to gain
        model.posterior.heads[0].net[-1].bias.add_(1.5)
    return model, bits(dtype=torch.float64)


def bound(model, batch: Batch, samples: int = 2000) -> torch.Tensor:
    torch.manual_seed(0)
    with torch.no_grad():
        return model.infer(batch, samples).log_weight.mean(0)


@pytest.mark.parametrize(
    ("posterior", "still"),
    [
        ({"kind": "semi_amortised", "steps": 8}, {"kind": "semi_amortised", "steps": 8, "rate": 1e-12}),
        (
            {"kind": "hamiltonian", "steps": 4, "step_size": 0.2, "max_step_size": 0.5, "temper": 0.9},
            {"kind": "hamiltonian", "steps": 4, "step_size": 1e-9, "temper": 0.9},
        ),
    ],
    ids=["semi_amortised", "hamiltonian"],
)
def test_the_steps_tighten_the_bound_of_every_datum(posterior, still):
    model, batch = doubled(**posterior)
    fixed, _ = doubled(**still)
    for one, two in zip(model.encoder.parameters(), fixed.encoder.parameters(), strict=True):
        assert torch.equal(one, two), "the same weights"
    fixed.load_state_dict({k: v for k, v in model.state_dict().items() if "raw" not in k}, strict=False)
    assert (bound(model, batch) > bound(fixed, batch) + 0.1).all()


@KINDS
def test_importance_weights_estimate_one_likelihood(kind: str):
    """Both posteriors' weights and those of a diagonal normal agree on log p(x) of the same generative model."""
    model, batch = doubled(kind=kind)
    plain = flat_model().double()
    plain.load_state_dict(model.state_dict(), strict=False)
    samples = 20_000

    def estimate(of):
        torch.manual_seed(3)
        with torch.no_grad():
            weight = of.infer(batch, samples).log_weight
        top = weight.max(0).values
        scaled = (weight - top).exp()
        return top + scaled.mean(0).log(), scaled.std(0) / scaled.mean(0) / math.sqrt(samples)

    one, error_one = estimate(model)
    two, error_two = estimate(plain)
    assert ((one - two).abs() < 5 * (error_one.square() + error_two.square()).sqrt()).all()


def test_log_joint_is_the_sum_of_prior_and_likelihood():
    model, batch = doubled(kind="hamiltonian")
    z = torch.randn(3, 6, 4, dtype=torch.float64)
    trace = model.infer(batch, 3, fixed={0: z})
    state = model.prior.initial((3, 6), data=batch)
    torch.testing.assert_close(log_joint(model, state, z), trace.log_weight)


@pytest.mark.parametrize("second_order", [True, False])
def test_second_order_gradients_of_the_semi_amortised(second_order: bool):
    """Against finite differences by a weight of the decoder, which the steps depend on."""
    model, objective = model_and(
        "elbo", posterior={"kind": "semi_amortised", "rate": 0.2, "clip": 1e6, "second_order": second_order}
    )
    model, objective = model.double(), objective.double()
    batch = bits(dtype=torch.float64)
    weight = next(p for p in model.decoder.parameters() if p.ndim == 2)
    direction = torch.randn_like(weight)
    (gradient,) = torch.autograd.grad(losses(objective, model, batch).sum(), weight)
    step = 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(sign * step * direction)
            values.append(losses(objective, model, batch).sum())
            weight.sub_(sign * step * direction)
    finite = (values[0] - values[1]) / (2 * step)
    exact = torch.allclose((gradient * direction).sum(), finite, rtol=1e-5)
    assert exact == second_order


def test_the_semi_amortised_posterior_is_a_function_of_the_data():
    model, batch = doubled(kind="semi_amortised")
    one, two = (model.infer(batch, 2).groups[0].q for _ in range(2))
    assert torch.equal(one.loc, two.loc)
    assert torch.equal(one.scale, two.scale)


@KINDS
def test_more_groups_than_one_are_refused(kind: str):
    with pytest.raises(BuildError, match=rf"posterior '{kind}'.*prior 'top_down' has 3 groups"):
        model_and("elbo", HIERARCHY, posterior=kind)


@KINDS
def test_a_prior_made_of_posteriors_is_refused(kind: str):
    with pytest.raises(BuildError, match=rf"posterior '{kind}'.*prior 'vamp'"):
        flat_model(posterior=kind, prior={"kind": "vamp", "dim": 4, "pseudo_inputs": 3})


def test_a_step_above_its_largest_is_refused():
    with pytest.raises(BuildError, match="max_step_size"):
        flat_model(posterior={"kind": "hamiltonian", "step_size": 0.3, "max_step_size": 0.25})


def test_metrics_of_a_posterior_that_scores_its_own_draws_only():
    kinds = ("negative_elbo", "importance_nll", "mutual_information")
    model, split = flat_model(posterior="hamiltonian"), make_splits().test
    values = measure([METRICS[kind].config.example() for kind in kinds], model, split, EvaluationContext(batch_size=10))
    assert {"negative_elbo", "nll_is5"} <= values.keys()
    assert "mutual_information" not in values
