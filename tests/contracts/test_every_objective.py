"""What holds for each divergence and each objective, with the first model that it can train."""

from __future__ import annotations

import json
import math

import pytest
import torch

from contracts.compositions import BATCH, home_of, train
from vaelab.objectives import MODEL
from vaelab.registry import DIVERGENCES, OBJECTIVES, OPTIMISERS, SCHEDULES
from vaelab.types import StepContext

DIVERGENCE_KINDS = [entry.kind for entry in DIVERGENCES]
OBJECTIVE_KINDS = [entry.kind for entry in OBJECTIVES]
BOTH = pytest.mark.parametrize(
    ("family", "kind"),
    [*(("divergence", kind) for kind in DIVERGENCE_KINDS), *(("objective", kind) for kind in OBJECTIVE_KINDS)],
)
MIDWAY = StepContext(step=3, steps_per_epoch=10, total_steps=20, dataset_size=1000)


@BOTH
def test_losses_are_per_datum(family: str, kind: str):
    composition, config = home_of(family, kind)
    model, objective = composition.build(config)
    losses = objective(model, composition.batch(), MIDWAY)
    assert MODEL in losses
    for loss in losses.values():
        assert loss.value.shape == (BATCH,)
        assert torch.isfinite(loss.value).all()
        for name, term in loss.terms.items():
            assert term.shape == (BATCH,), name
            assert torch.isfinite(term).all(), name
    if family == "divergence":
        assert kind in losses[MODEL].terms, "a term is logged under its name"


@BOTH
def test_two_steps_reach_every_parameter_of_every_player(family: str, kind: str):
    composition, config = home_of(family, kind)
    model, objective = composition.build(config)
    history, touched = train(model, objective, composition.batch())
    assert all(math.isfinite(loss) for loss in history)
    bad = [name for name, gradient in touched.items() if gradient is None or not gradient > 0]
    assert not bad, bad


@BOTH
def test_players_share_no_parameter_and_leave_none_out(family: str, kind: str):
    composition, config = home_of(family, kind)
    model, objective = composition.build(config)
    players = objective.players(model)
    assert next(iter(players)) == MODEL
    ids = [id(parameter) for parameters in players.values() for parameter in parameters]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for module in (model, objective) for p in module.parameters()}
    # a player that brings no optimiser takes the training's
    assert set(objective.optimisers()) <= set(players) - {MODEL}
    for optimiser in objective.optimisers().values():
        assert optimiser.kind in OPTIMISERS


@BOTH
def test_evaluates_without_gradients_and_in_double_precision(family: str, kind: str):
    composition, config = home_of(family, kind)
    model, objective = composition.build(config)
    model, objective = model.double().eval(), objective.double().eval()
    with torch.no_grad():
        loss = objective(model, composition.batch(dtype=torch.float64), MIDWAY)[MODEL]
    assert loss.value.dtype == torch.float64
    assert torch.isfinite(loss.value).all()


@pytest.mark.parametrize("kind", DIVERGENCE_KINDS)
def test_weight_multiplies_the_term(kind: str):
    """A weight may be a number or any schedule, and the logged term stays unweighted."""
    composition, config = home_of("divergence", kind)
    term = json.loads(config.model_dump_json())["divergences"][0]

    def loss_and_term(weight):
        weighted = OBJECTIVES["elbo"].config.model_validate(
            {"kind": "elbo", "divergences": [{**term, "weight": weight}]}
        )
        model, objective = composition.build(weighted)
        model, objective = model.double(), objective.double()
        torch.manual_seed(9)
        loss = objective.eval()(model.eval(), composition.batch(dtype=torch.float64), MIDWAY)[MODEL]
        return loss.value, loss.terms[kind], loss.terms["distortion"], loss.terms.get(f"{kind}/weight")

    one = loss_and_term(1.0)[3]  # of a term that sets its own weight, which is logged and multiplied
    value, unweighted, distortion, weight = loss_and_term(3.0)
    torch.testing.assert_close(value, distortion + (3.0 if one is None else 3 * one) * unweighted)
    assert one is None or torch.allclose(weight, 3 * one)
    ramp = {"kind": "linear", "start": 0.0, "end": 1.0, "steps": 12}  # a quarter at step 3
    value, unweighted, distortion, weight = loss_and_term(ramp)
    torch.testing.assert_close(value, distortion + (0.25 if one is None else 0.25 * one) * unweighted)
    assert "constant" in SCHEDULES


@pytest.mark.parametrize("kind", DIVERGENCE_KINDS)
def test_a_term_twice_is_logged_under_two_names(kind: str):
    composition, config = home_of("divergence", kind)
    term = json.loads(config.model_dump_json())["divergences"][0]
    twice = OBJECTIVES["elbo"].config.model_validate({"kind": "elbo", "divergences": [term, term]})
    model, objective = composition.build(twice)
    losses = objective(model, composition.batch(), MIDWAY)
    assert {kind, f"{kind}_2"} <= losses[MODEL].terms.keys()
    assert losses.keys() == objective.players(model).keys()
