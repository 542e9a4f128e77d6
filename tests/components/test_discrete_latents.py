"""Models with categorical latents and with bits: what training draws, what evaluation draws, exact answers."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from core.models import FLAT, bits, losses, model_and
from vaelab.errors import BuildError
from vaelab.model import VAE
from vaelab.registry import POSTERIORS
from vaelab.types import StepContext

MODELS: dict[str, dict[str, Any]] = {
    "categorical": {**FLAT, "posterior": "categorical", "prior": {"kind": "categorical", "variables": 2, "classes": 3}},
    "bernoulli": {**FLAT, "posterior": "bernoulli", "prior": {"kind": "bernoulli", "dim": 3, "learned": True}},
}
EACH = pytest.mark.parametrize("kind", MODELS)


def corners(kind: str) -> Tensor:
    """Every value of the latents, `[N, *event]`."""
    if kind == "bernoulli":
        return torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=torch.float64)
    return torch.stack([torch.stack(pair) for pair in itertools.product(torch.eye(3, dtype=torch.float64), repeat=2)])


def small(kind: str, **posterior: Any) -> VAE:
    """A model in double precision whose parameters are not those of the start."""
    model, _ = model_and("elbo", {**MODELS[kind], "posterior": {"kind": kind, **posterior}}, shape=(6,))
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return model


@EACH
@pytest.mark.parametrize("estimator", ["relaxed", "straight_through"])
def test_training_relaxes_as_asked_and_evaluation_is_exact(kind: str, estimator: str):
    model = small(kind, estimator=estimator)
    batch = bits(6, (6,), torch.float64)

    def exact() -> bool:
        z = model.infer(batch, 5).groups[0].z
        return bool(((z == 0) | (z == 1)).all())

    assert exact() == (estimator == "straight_through")
    model.eval()
    assert exact()
    (code,) = model.encode(batch.x, mean=True)
    assert set(code.unique().tolist()) <= {0.0, 1.0}, "what stands for the posterior is a value of the latents"


@EACH
def test_rate_in_training_is_the_closed_form(kind: str):
    model = small(kind)
    batch = bits(6, (6,), torch.float64)
    first, second = (model.infer(batch).total_rate() for _ in range(2))
    torch.testing.assert_close(first, second)
    q, p = (getattr(model.infer(batch).groups[0], name) for name in "qp")
    values = corners(kind).unsqueeze(1).unsqueeze(1)
    log_q, log_p = q.log_prob(values), p.log_prob(values)
    torch.testing.assert_close(first, (log_q.exp() * (log_q - log_p)).sum(0))


@EACH
def test_evaluation_estimates_the_exact_likelihood_of_the_discrete_model(kind: str):
    """log p(x) by enumeration: mean importance weights meet it, and the bound lies below by KL(q(z|x) || p(z|x))."""
    model = small(kind).eval()
    batch = bits(4, (6,), torch.float64)
    with torch.no_grad():
        q = model.infer(batch).groups[0].q
        assert q is not None
        values = corners(kind).unsqueeze(1).expand(-1, 4, *corners(kind).shape[1:])
        log_joint = model.infer(batch, len(values), fixed={0: values}).log_weight
        log_px = log_joint.logsumexp(0)
        log_q = q.log_prob(values)
        bound = (log_q.exp() * (log_joint - log_q)).sum(0)
        trace = model.infer(batch, 20_000)
        weight = (trace.log_weight - log_px).exp()
        assert ((weight.mean(0) - 1).abs() < 5 * weight.std(0) / 20_000**0.5 + 1e-12).all()
        error = trace.log_weight.std(0) / 20_000**0.5
        assert ((trace.log_weight.mean(0) - bound).abs() < 5 * error + 1e-12).all()
        assert (bound < log_px).all()
        elbo = trace.log_px.mean(0) - trace.total_rate().mean(0)
        assert ((elbo - bound).abs() < 5 * trace.log_px.std(0) / 20_000**0.5 + 1e-12).all()


@EACH
def test_temperature_follows_its_schedule(kind: str):
    ramp = {"kind": "linear", "start": 1.0, "end": 0.2, "steps": 100}
    model, objective = model_and("elbo", {**MODELS[kind], "posterior": {"kind": kind, "temperature": ramp}})
    for step, expected in ((0, 1.0), (50, 0.6), (1000, 0.2)):
        losses(objective, model, bits(), context=StepContext(step))
        q = model.infer(bits()).groups[0].q
        assert q is not None
        assert q.temperature == pytest.approx(expected)


@EACH
def test_objective_may_be_called_with_keywords(kind: str):
    model, objective = model_and("elbo", MODELS[kind])
    context = StepContext(7)
    objective(model=model, batch=bits(), context=context)
    assert model.step_context is context


@pytest.mark.parametrize("temperature", [0.0, -1.0, {"kind": "linear", "start": 1.0, "end": 0.0}])
@EACH
def test_temperature_that_reaches_zero_is_refused(kind: str, temperature: Any):
    with pytest.raises(ValidationError, match="should be greater than 0 at every step"):
        POSTERIORS[kind].config.model_validate({"kind": kind, "temperature": temperature})


@EACH
def test_prior_probabilities_are_learned_where_asked(kind: str):
    base = MODELS[kind]
    for learned in (False, True):
        model, objective = model_and("elbo", {**base, "prior": {**base["prior"], "learned": learned}})
        assert [name for name, _ in model.prior.named_parameters()] == (["logits"] if learned else [])
        losses(objective, model, bits()).mean().backward()
        if learned:
            # the closed KL pulls the prior towards the mean posterior
            q = model.infer(bits()).groups[0].q
            assert q is not None
            torch.testing.assert_close(model.prior.logits.grad, model.prior.group(0, None).mean - q.mean.mean((0, 1)))


def test_samples_of_the_prior_are_uniform_vectors():
    model, _ = model_and("elbo", MODELS["categorical"])
    model.eval()
    (z,) = model.generate(6000).zs
    assert z.sum(-1).eq(1).all()
    torch.testing.assert_close(z.mean(0), torch.full((2, 3), 1 / 3), atol=0.04, rtol=0)


def test_mismatched_supports_are_refused_by_name():
    with pytest.raises(BuildError, match=r"posterior 'diagonal_normal' draws real vectors and prior 'categorical'"):
        model_and("elbo", {**FLAT, "prior": {"kind": "categorical"}})
    with pytest.raises(BuildError, match=r"posterior 'bernoulli' draws bits and prior 'categorical'"):
        model_and("elbo", {**FLAT, "posterior": "bernoulli", "prior": {"kind": "categorical"}})


@EACH
def test_draws_that_are_scored_as_constants_are_exact_in_training_too(kind: str):
    """The gradient of log q(z) at a relaxed z is no score function."""
    model = small(kind).train()
    batch = bits(6, (6,), torch.float64)
    z = model.infer(batch, 5, pathwise=False).groups[0].z
    assert ((z == 0) | (z == 1)).all()
    relaxed = model.infer(batch, 5).groups[0].z
    assert not ((relaxed == 0) | (relaxed == 1)).any()
