"""Bounds from importance weights: their order, their reductions and their gradients."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from core.models import FLAT, HIERARCHY, bits, losses, model_and
from core.test_exact_answers import linear_gaussian
from vaelab.errors import BuildError
from vaelab.model import VAE
from vaelab.objectives import MODEL, Objective
from vaelab.objectives.bounds import INFERENCE, ImportanceWeighted, systematic
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, BuildContext, StepContext


def built(config: dict[str, Any], model: VAE) -> Objective[Any]:
    return OBJECTIVES.build(OBJECTIVES._validate(config), BuildContext(model.data))


def wrong() -> tuple[VAE, Batch, Tensor]:
    """The linear model with a posterior that is off, its data and the exact negative log-likelihoods."""
    model, x, marginal = linear_gaussian()
    with torch.no_grad():
        model.posterior.heads[0].net[0].bias += torch.tensor([0.5, -0.4, 0.6, -0.5], dtype=torch.float64)
    return model, Batch(x), -marginal.log_prob(x)


def estimate(config: dict[str, Any], repeats: int = 1500) -> tuple[float, float]:
    """Mean over data and noise of what the objective reports as its loss, and its standard error."""
    model, batch, _ = wrong()
    wide = Batch(batch.x.repeat_interleave(repeats, 0))
    torch.manual_seed(0)
    with torch.no_grad():
        loss = built(config, model)(model, wide, StepContext())[MODEL].terms["loss"].reshape(len(batch), repeats)
    means = loss.mean(0)
    return float(means.mean()), float(means.std() / math.sqrt(repeats))


def test_bounds_are_ordered_as_theory_says() -> None:
    _, _, exact = wrong()
    ladder = [
        {"kind": "elbo"},
        {"kind": "ciwae", "samples": 8, "beta": 0.5},
        {"kind": "iwae", "samples": 8},
        {"kind": "iwae", "samples": 64},
    ]
    values = [estimate(config) for config in ladder] + [(float(exact.mean()), 0.0)]
    for (looser, one), (tighter, other) in itertools.pairwise(values):
        assert looser - tighter > 5 * math.hypot(one, other)


def test_miwae_is_iwae_with_its_inner_samples() -> None:
    (one, s), (other, t) = (
        estimate({"kind": "miwae", "samples": 4, "outer": 6}),
        estimate({"kind": "iwae", "samples": 4}),
    )
    assert abs(one - other) < 5 * math.hypot(s, t)
    # and its value varies less
    assert s < 0.6 * t


def test_renyi_falls_with_its_order() -> None:
    values = [estimate({"kind": "renyi", "alpha": a, "samples": 8}) for a in (1.0, 0.5, 0.0, -1.0, "max")]
    for (looser, one), (tighter, other) in itertools.pairwise(values):
        assert looser - tighter > 5 * math.hypot(one, other)


def test_tvo_lies_between_elbo_and_likelihood_and_rises_with_its_partitions() -> None:
    _, _, exact = wrong()
    tvo = [estimate({"kind": "tvo", "samples": 300, "partitions": p, "smallest": 0.1}, 100) for p in (1, 3, 12)]
    elbo = estimate({"kind": "elbo"})
    assert abs(tvo[0][0] - elbo[0]) < 5 * math.hypot(tvo[0][1], elbo[1])
    assert tvo[0][0] > tvo[1][0] > tvo[2][0] > float(exact.mean())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"kind": "miwae", "samples": 6, "outer": 1}, {"kind": "iwae", "samples": 6}),
        ({"kind": "ciwae", "samples": 6, "beta": 0.0}, {"kind": "iwae", "samples": 6}),
        ({"kind": "renyi", "samples": 6, "alpha": 0.0}, {"kind": "iwae", "samples": 6}),
        (
            {"kind": "ciwae", "samples": 6, "beta": 1.0},
            {"kind": "elbo", "samples": 6, "divergences": [{"kind": "kl", "estimator": "monte_carlo"}]},
        ),
        ({"kind": "renyi", "samples": 6, "alpha": 1.0}, {"kind": "ciwae", "samples": 6, "beta": 1.0}),
        ({"kind": "miwae", "samples": 1, "outer": 6}, {"kind": "ciwae", "samples": 6, "beta": 1.0}),
        ({"kind": "renyi", "samples": 1, "alpha": "max"}, {"kind": "iwae", "samples": 1}),
        ({"kind": "renyi", "samples": 6, "alpha": -400.0}, {"kind": "renyi", "samples": 6, "alpha": "max"}),
    ],
)
def test_reductions(one: dict[str, Any], other: dict[str, Any]) -> None:
    batch = bits(dtype=torch.float64)
    values = []
    for config in (one, other):
        model, objective = model_and(config)
        values.append(losses(objective, model.double(), batch))
    tolerance = 5e-3 if one.get("alpha") == -400.0 else 1e-12
    torch.testing.assert_close(values[0], values[1], rtol=tolerance, atol=0)


def gradients(config: dict[str, Any], repeats: int, seed: int = 0) -> dict[str, Tensor]:
    """Gradients of each player's loss, one row a repeat: `[repeats, parameters]`."""
    model, batch, _ = wrong()
    objective = built(config, model)
    torch.manual_seed(seed)
    players = objective.players(model)
    rows: dict[str, list[Tensor]] = {player: [] for player in players}
    for _ in range(repeats):
        result = objective(model, batch, StepContext())
        for player, parameters in players.items():
            found = torch.autograd.grad(result[player].value.mean(), parameters, retain_graph=True, allow_unused=True)
            rows[player].append(
                torch.cat(
                    [
                        (torch.zeros_like(p) if g is None else g).flatten()
                        for p, g in zip(parameters, found, strict=True)
                    ]
                )
            )
    return {player: torch.stack(row) for player, row in rows.items()}


def agree(one: Tensor, other: Tensor) -> bool:
    """Whether two samples `[N, P]` have the same mean within 5 standard errors, and not because both are noise."""
    error = (one.var(0) / len(one) + other.var(0) / len(other)).sqrt()
    difference = (one.mean(0) - other.mean(0)).abs()
    assert float((other.mean(0).abs() > 8 * error + 1e-12).double().mean()) > 0.3, "the test has no power"
    return bool((difference <= 5 * error + 1e-9).all())


def test_dreg_has_the_gradient_of_iwae() -> None:
    dreg = gradients({"kind": "dreg", "samples": 5}, 600)[MODEL]
    iwae = gradients({"kind": "iwae", "samples": 5}, 600, seed=1)[MODEL]
    assert agree(dreg, iwae)
    # what it is for: less noise in the posterior's gradient
    model = wrong()[0]
    head = torch.cat([torch.full((p.numel(),), n.startswith("posterior")) for n, p in model.named_parameters()])
    assert float(dreg.var(0)[head].sum()) < 0.7 * float(iwae.var(0)[head].sum())


def test_dreg_has_no_noise_at_the_exact_posterior() -> None:
    model, x, _ = linear_gaussian()
    objective = built({"kind": "dreg", "samples": 3}, model)
    loss = objective(model, Batch(x), StepContext())[MODEL].value.mean()
    found = torch.autograd.grad(loss, list(model.posterior.parameters()))
    assert all(float(g.abs().max()) < 1e-12 for g in found)


def test_dreg_refuses_a_hierarchy() -> None:
    with pytest.raises(BuildError, match=r"'dreg'.*'top_down'"):
        model_and("dreg", HIERARCHY)


def test_tvo_with_one_partition_has_the_gradient_of_the_elbo() -> None:
    tvo = gradients({"kind": "tvo", "samples": 40, "partitions": 1}, 600)[MODEL]
    elbo = gradients({"kind": "elbo", "samples": 8}, 400, seed=1)[MODEL]
    assert agree(tvo, elbo)


def test_tvo_has_the_gradient_of_its_bound() -> None:
    # against the bound's own value, by finite differences along a random direction of the decoder and the posterior
    config = {"kind": "tvo", "samples": 2000, "partitions": 4, "smallest": 0.1}
    model, batch, _ = wrong()
    objective = built(config, model)
    parameters = [*model.posterior.parameters(), *model.decoder.parameters()]
    torch.manual_seed(3)
    direction = [torch.randn_like(p) for p in parameters]

    def value(shift: float) -> Tensor:
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p += shift * d
            torch.manual_seed(4)
            result = torch.stack(
                [objective(model, batch, StepContext())[MODEL].terms["loss"].mean() for _ in range(40)]
            )
            for p, d in zip(parameters, direction, strict=True):
                p -= shift * d
        return result

    step = 0.02
    numeric = (value(step) - value(-step)) / (2 * step)
    torch.manual_seed(5)
    analytic = []
    for _ in range(40):
        found = torch.autograd.grad(objective(model, batch, StepContext())[MODEL].value.mean(), parameters)
        analytic.append(sum((g * d).sum() for g, d in zip(found, direction, strict=True)))
    ours = torch.stack(analytic)
    error = math.hypot(float(ours.std() / 40**0.5), float(numeric.std() / 40**0.5))
    assert abs(float(ours.mean() - numeric.mean())) < 5 * error + 0.02 * abs(float(numeric.mean()))
    assert abs(float(numeric.mean())) > 20 * error


def test_piwae_gives_each_player_its_bound() -> None:
    piwae = {"kind": "piwae", "samples": 3, "outer": 4}
    mine = gradients(piwae, 1)
    model = wrong()[0]
    theirs = [n.startswith(("encoder", "posterior")) for n, _ in model.named_parameters()]
    mask = torch.cat([torch.full((p.numel(),), t) for (_, p), t in zip(model.named_parameters(), theirs, strict=True)])
    iwae = gradients({"kind": "iwae", "samples": 12}, 1)[MODEL][0]
    miwae = gradients({"kind": "miwae", "samples": 3, "outer": 4}, 1)[MODEL][0]
    torch.testing.assert_close(mine[MODEL][0], iwae[~mask])
    torch.testing.assert_close(mine[INFERENCE][0], miwae[mask])
    assert not torch.allclose(iwae[mask], miwae[mask])


@pytest.mark.parametrize("phases", ["wake", "sleep", "both"])
def test_wake_sleep_draws_the_posterior_to_the_exact_one(phases: str) -> None:
    model, _, _ = wrong()
    exact, _, _ = linear_gaussian()
    goal = exact.posterior.heads[0].net[0].bias.detach()
    objective = built({"kind": "wake_sleep", "samples": 40, "phases": phases}, model)
    bias = model.posterior.heads[0].net[0].bias
    before = (bias.detach() - goal).abs()
    optimiser = torch.optim.Adam([bias], 0.02)
    torch.manual_seed(0)
    # draws of the model itself, for which the exact posterior is the optimum of both phases
    for _ in range(250):
        x = exact.generate(64).sample()
        optimiser.zero_grad()
        objective(model, Batch(x), StepContext())[INFERENCE].value.mean().backward()
        optimiser.step()
    after = (bias.detach() - goal).abs()
    assert bool((after < 0.3 * before).all()), (before, after)


def test_wake_sleep_trains_the_model_by_the_gradient_of_iwae() -> None:
    wake = gradients({"kind": "wake_sleep", "samples": 5, "phases": "wake"}, 1)[MODEL][0]
    model = wrong()[0]
    names = [n.startswith(("encoder", "posterior")) for n, _ in model.named_parameters()]
    mask = torch.cat([torch.full((p.numel(),), t) for (_, p), t in zip(model.named_parameters(), names, strict=True)])
    iwae = gradients({"kind": "iwae", "samples": 5}, 1)[MODEL][0]
    torch.testing.assert_close(wake, iwae[~mask])


def test_sticking_the_landing_has_the_gradient_of_the_elbo_and_no_noise_at_the_exact_posterior() -> None:
    stl = {"kind": "elbo", "divergences": [{"kind": "kl", "estimator": "sticking_the_landing"}]}
    assert agree(gradients(stl, 500)[MODEL], gradients({"kind": "elbo", "samples": 4}, 300, seed=1)[MODEL])
    model, x, _ = linear_gaussian()
    loss = built(stl, model)(model, Batch(x), StepContext())[MODEL].value.mean()
    found = torch.autograd.grad(loss, list(model.posterior.parameters()))
    assert all(float(g.abs().max()) < 1e-12 for g in found)


FAMILY: list[dict[str, Any]] = [
    {"kind": "iwae", "samples": 12},
    {"kind": "miwae", "samples": 4, "outer": 3},
    {"kind": "ciwae", "samples": 12, "beta": 0.3},
    {"kind": "piwae", "samples": 4, "outer": 3},
    {"kind": "renyi", "samples": 12, "alpha": 0.5},
    {"kind": "renyi", "samples": 12, "alpha": 1.0},
    {"kind": "renyi", "samples": 12, "alpha": -2.0},
    {"kind": "renyi", "samples": 12, "alpha": "max"},
]


def named(config: dict[str, Any]) -> str:
    return "-".join(str(value) for value in config.values())


@pytest.mark.parametrize("config", FAMILY, ids=named)
def test_shares_are_the_gradient_of_the_bound(config: dict[str, Any]) -> None:
    objective = built(config, wrong()[0])
    assert isinstance(objective, ImportanceWeighted)
    log_weight = torch.randn(12, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    for bound in objective.bounds().values():
        (found,) = torch.autograd.grad(bound.value(log_weight).sum(), log_weight)
        shares = bound.shares(log_weight)
        torch.testing.assert_close(shares, found)
        torch.testing.assert_close(shares.sum(0), torch.ones(7, dtype=torch.float64))
        assert float(shares.detach().min()) >= 0


def test_systematic_draws_come_as_often_as_their_shares_ask() -> None:
    shares = torch.rand(9, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64).square()
    shares[4] = 0
    shares = (shares / shares.sum()).expand(9, 4000)
    torch.manual_seed(0)
    for number in (1, 3, 20):
        counts = torch.nn.functional.one_hot(systematic(shares, number), 9).sum(0).double()
        mean, error = counts.mean(0), counts.std(0) / 4000**0.5
        assert bool(((mean - number * shares[:, 0]).abs() <= 4.5 * error + 1e-12).all())
        # never further from the expectation than rounding asks, which independent draws are
        assert bool(((counts - number * shares.t()).abs() < 1).all())
    assert float(counts[:, 4].max()) == 0


def test_shares_that_round_to_less_than_one_in_sum_draw_no_index_beyond_them() -> None:
    assert int(systematic(torch.full((3, 2000), 0.3, dtype=torch.float64), 4).max()) == 2


@pytest.mark.parametrize(("config", "repeats"), [(FAMILY[0], 900), (FAMILY[3], 450)], ids=["iwae", "piwae"])
def test_a_gradient_through_some_samples_is_that_through_all(config: dict[str, Any], repeats: int) -> None:
    some = gradients({**config, "backward": 3}, repeats)
    whole = gradients(config, repeats // 2, seed=1)
    assert some.keys() == whole.keys()
    for player in whole:
        assert agree(some[player], whole[player])


@pytest.mark.parametrize("base", ["flat", "hierarchy"])
def test_a_gradient_through_some_samples_leaves_the_loss_as_it_is(base: str) -> None:
    batch, found = bits(dtype=torch.float64), []
    for backward in (None, 2):
        config = {"kind": "iwae", "samples": 6, "backward": backward}
        model, objective = model_and(config, HIERARCHY if base == "hierarchy" else FLAT)
        torch.manual_seed(5)
        result = objective(model.double(), batch, StepContext())[MODEL]
        found.append(result.terms)
        result.value.mean().backward()
        assert all(p.grad is not None for p in model.parameters())
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value)


def test_a_warm_up_weighs_the_latent_part_of_the_weights() -> None:
    batch = bits(dtype=torch.float64)
    ramp = {"kind": "linear", "start": 0.25, "end": 1.0, "steps": 3}
    expected = []
    for backward in (None, 4):
        model, objective = model_and({"kind": "iwae", "samples": 5, "kl_weight": ramp, "backward": backward}, HIERARCHY)
        model = model.double()
        for step, beta in ((0, 0.25), (2, 0.75), (9, 1.0)):
            torch.manual_seed(2)
            terms = objective(model, batch, StepContext(step))[MODEL].terms
            torch.manual_seed(2)
            trace = model.infer(batch, 5)
            log_weight = trace.log_px + beta * (trace.log_weight - trace.log_px)
            torch.testing.assert_close(terms["loss"], math.log(5) - log_weight.logsumexp(0))
            torch.testing.assert_close(terms["negative_elbo"], -trace.log_weight.mean(0))
            expected.append(terms["loss"])
    assert not torch.allclose(expected[0], expected[1])


def test_the_largest_weight_alone_is_the_gradient_through_one_sample() -> None:
    # no chance is left, so the two must agree to the last digits
    config = {"kind": "renyi", "samples": 6, "alpha": "max"}
    whole, one = gradients(config, 1)[MODEL], gradients({**config, "backward": 1}, 1)[MODEL]
    torch.testing.assert_close(one, whole)


def test_a_gradient_through_some_samples_is_refused_where_it_cannot_be() -> None:
    with pytest.raises(ValueError, match='"backward" is 6, and there are 6 samples'):
        OBJECTIVES._validate({"kind": "miwae", "samples": 3, "outer": 2, "backward": 6})
    with pytest.raises(BuildError, match="batch normalisation of 'dcgan'"):
        model_and(
            {"kind": "iwae", "samples": 5, "backward": 2},
            shape=(1, 16, 16),
            decoder={"kind": "dcgan", "channels": 4, "levels": 2},
        )
