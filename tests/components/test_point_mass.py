"""A posterior without a density: what can train it, what refuses it by name, and what is measured of it."""

from __future__ import annotations

import pytest
import torch

from core.models import FLAT, HIERARCHY, bits, flat_model, losses, model_and
from made_up import make_splits
from vaelab.errors import BuildError, NoDensityError
from vaelab.metrics import EvaluationContext, measure
from vaelab.registry import METRICS, OBJECTIVES

DISTORTION = {"kind": "elbo", "divergences": []}


@pytest.mark.parametrize("base", [FLAT, HIERARCHY], ids=["flat", "hierarchy"])
def test_an_autoencoder_minimises_the_distortion(base):
    model, objective = model_and(DISTORTION, base, posterior="dirac")
    batch = bits()
    loss = losses(objective, model, batch)
    torch.testing.assert_close(loss, -model.infer(batch).log_px.mean(0))
    assert torch.equal(losses(objective, model, batch, seed=1), loss), "nothing is drawn"


@pytest.mark.parametrize("term", ["kl", {"kind": "kl", "estimator": "monte_carlo"}, "capacity", "free_bits"])
def test_a_term_that_needs_a_density_is_refused_by_name(term):
    kind = term if isinstance(term, str) else term["kind"]
    with pytest.raises(BuildError) as refusal:
        model_and({"kind": "elbo", "divergences": [term]}, posterior="dirac")
    for name in (f"'{kind}'", "posterior 'dirac'", "prior 'standard_normal'"):
        assert name in str(refusal.value)


def test_iwae_is_refused_by_name():
    with pytest.raises(BuildError, match=r"objective 'iwae'.*posterior 'dirac'"):
        model_and("iwae", posterior="dirac")


def test_a_term_on_samples_alone_is_allowed():
    term = {"kind": "adversarial_tc", "hidden": [8]}
    model, objective = model_and({"kind": "elbo", "divergences": [term]}, posterior="dirac")
    found = objective(model, bits(), _step())
    assert torch.isfinite(found["model"].value).all()
    assert "adversarial_tc" in found


@pytest.mark.parametrize("kind", [entry.kind for entry in OBJECTIVES])
def test_every_objective_trains_it_or_refuses_it(kind: str):
    example = OBJECTIVES[kind].config.example().model_dump(mode="json")
    refusal = ""
    try:
        model, objective = model_and(example, posterior="dirac")
    except BuildError as error:
        refusal = str(error)
    if refusal:
        assert "'dirac'" in refusal or "Wrap the data set" in refusal
    else:
        assert torch.isfinite(losses(objective, model, bits())).all()


def test_a_trace_says_what_it_lacks():
    trace = flat_model(posterior="dirac").infer(bits(), 2)
    assert not trace.has_density
    assert trace.log_px.shape == (2, 6)
    for ask in (lambda: trace.log_weight, trace.total_rate, lambda: trace.groups[0].log_q):
        with pytest.raises(NoDensityError, match="Dirac"):
            ask()
    # latents that were given have a density under the prior
    given = flat_model(posterior="dirac").infer(bits(), 2, fixed={0: torch.zeros(6, 4)})
    assert given.has_density
    assert torch.isfinite(given.log_weight).all()


def test_metrics_yield_what_has_a_meaning():
    model = flat_model(posterior="dirac")
    split = make_splits().test
    values = measure([entry.config.example() for entry in METRICS if entry.kind in _OURS], model, split, _context())
    assert "distortion" in values
    absent = {"negative_elbo", "rate", "nll_is5", "ess_is5", "mutual_information"}
    assert not absent & values.keys()
    assert "reconstruction_mse" in values
    assert values["posterior_variance"].value == pytest.approx(0.0, abs=1e-9)
    usual = measure([METRICS[kind].config.example() for kind in _OURS], flat_model(), split, _context())
    assert absent <= usual.keys(), "the names above are those that a model with a density has"


_OURS = ("negative_elbo", "importance_nll", "mutual_information", "reconstruction", "latent_usage")


def _context() -> EvaluationContext:
    return EvaluationContext(batch_size=10)


def _step():
    from vaelab.types import StepContext

    return StepContext()


def test_a_mixture_of_point_masses_has_no_density():
    with pytest.raises(BuildError, match="posterior 'dirac'"):
        model_and("elbo", posterior="dirac", prior={"kind": "vamp", "dim": 4, "pseudo_inputs": 3})
    model, _ = model_and(DISTORTION, posterior="dirac", prior={"kind": "vamp", "dim": 4, "pseudo_inputs": 3})
    assert model.sample(2).shape == (2, 1, 8, 8)
