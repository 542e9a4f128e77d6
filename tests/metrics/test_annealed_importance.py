"""Annealed importance sampling against a model whose likelihood is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch

from vaelab.build import build_model
from vaelab.config import ModelConfig
from vaelab.datasets.memory import MemorySplit
from vaelab.metrics import EvaluationContext, measure, seeded
from vaelab.metrics.annealed_importance import AnnealedImportanceConfig
from vaelab.metrics.annealing import Bridge, annealed, temperatures, transition, tuned
from vaelab.types import Batch, DataSpec

if TYPE_CHECKING:
    from metrics.conftest import Linear

SIGMA = 0.7


def posterior(linear: Linear, x: torch.Tensor, chains: int) -> torch.Tensor:
    """Exact draws of p(z | x), `[chains, B, Z]`."""
    mean = (x - linear.bias) @ linear.weight * linear.posterior_variance / SIGMA**2
    return mean + linear.posterior_variance.sqrt() * torch.randn(chains, *mean.shape)


def test_temperatures_rise_from_0_to_1() -> None:
    betas = temperatures(10)
    assert (betas[0], betas[-1], len(betas)) == (0.0, 1.0, 11)
    assert betas == sorted(betas)
    assert betas[5] == pytest.approx(0.5)
    assert betas[1] < 0.5 * (betas[6] - betas[5])


@pytest.mark.parametrize("start", ["prior", "posterior"])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_weights_are_unbiased_whatever_the_number_of_steps(linear: Linear, start: Any, direction: str) -> None:
    x, chains, betas = linear.x[:4], 4000, temperatures(12)
    with seeded(1), torch.no_grad():
        bridge = Bridge(linear.model(exact=False), Batch(x), start)
        sizes = torch.full((11, 4), 0.4)
        if direction == "forward":
            log_weight, accepted = annealed(bridge, bridge.draw(chains), betas, sizes, 3)
            ratio = (log_weight - linear.marginal.log_prob(x)).exp()
        else:
            begin = posterior(linear, x, chains)
            log_weight, accepted = annealed(bridge, begin, betas[::-1], sizes.flip(0), 3)
            ratio = (log_weight + linear.marginal.log_prob(x)).exp()
    assert bool(((ratio.mean(0) - 1).abs() < 5 * ratio.std(0) / math.sqrt(chains)).all())
    assert bool((ratio.std(0) / math.sqrt(chains) < 0.15).all()), "else the test says nothing"
    assert bool((accepted < 1).all())


def test_a_transition_leaves_its_density_invariant(linear: Linear) -> None:
    x = linear.x[:1]
    with seeded(2), torch.no_grad():
        bridge = Bridge(linear.model(), Batch(x), "prior")
        begin = posterior(linear, x, 20_000)
        size = torch.full((1,), 1.1 * float(linear.posterior_variance.min().sqrt()))
        point, accept = transition(bridge, bridge.at(begin), 1.0, size, 2)
    assert 0.3 < float(accept.mean()) < 0.99, "steps so coarse that without the refusals the variance would be another"
    mean = (x - linear.bias) @ linear.weight * linear.posterior_variance / SIGMA**2
    z = point.z[:, 0]
    assert bool(((z.mean(0) - mean).abs() < 5 * (linear.posterior_variance / 20_000).sqrt()).all())
    relative = z.var(0) / linear.posterior_variance
    assert bool(((relative - 1).abs() < 5 * math.sqrt(2 / 20_000)).all())


def test_step_sizes_are_tuned_to_the_accepted_share(linear: Linear) -> None:
    with seeded(3), torch.no_grad():
        bridge = Bridge(linear.model(), Batch(linear.x[:8]), "prior")
        betas = temperatures(60)
        sizes = tuned(bridge, betas, 16, 3)
        _, accepted = annealed(bridge, bridge.draw(16), betas, sizes, 3)
    assert sizes.shape == (59, 8)
    assert 0.5 < float(accepted.mean()) < 0.85


def test_bounds_enclose_the_likelihood_and_close(linear: Linear, splits_of: Callable[..., MemorySplit]) -> None:
    model, split = linear.model(exact=False), splits_of(linear.x)
    truth = -linear.marginal.log_prob(linear.x).mean().item()
    configs = [
        AnnealedImportanceConfig(chains=4, steps=steps, leapfrog=3, limit=50, simulated=50) for steps in (3, 20, 150)
    ]
    values = measure(configs, model, split, EvaluationContext(batch_size=30))
    gaps = [values[f"bdmc_gap_ais4_t{steps}"] for steps in (3, 20, 150)]
    assert [gap.value for gap in gaps] == sorted((gap.value for gap in gaps), reverse=True)
    assert all(gap.value > -5 * (gap.stderr or 0) for gap in gaps)
    assert gaps[0].value > 0.3
    assert gaps[-1].value < 0.1
    estimates = [values[f"nll_ais4_t{steps}"].value for steps in (3, 20, 150)]
    assert estimates[0] > truth + 0.1
    assert estimates[-1] == pytest.approx(truth, abs=0.05)
    assert 1 <= values["ess_ais4_t150"].value <= 4
    for steps in (3, 20, 150):
        upper, lower = (values[f"simulated_nll_{which}ais4_t{steps}"].value for which in ("", "reverse_"))
        assert upper - lower == pytest.approx(values[f"bdmc_gap_ais4_t{steps}"].value)


def test_from_the_exact_posterior_every_weight_is_the_likelihood(
    linear: Linear, splits_of: Callable[..., MemorySplit]
) -> None:
    config = AnnealedImportanceConfig(chains=2, steps=5, leapfrog=2, start="posterior", limit=10, simulated=10)
    values = measure([config], linear.model(), splits_of(linear.x), EvaluationContext(batch_size=4))
    truth = -linear.marginal.log_prob(linear.x[:10]).mean().item()
    assert values["nll_ais2_t5"].value == pytest.approx(truth, abs=1e-3)
    assert values["bdmc_gap_ais2_t5"].value == pytest.approx(0, abs=1e-3)
    assert values["ess_ais2_t5"].value == pytest.approx(2, abs=1e-3)


def test_parts_bound_the_memory(
    linear: Linear, splits_of: Callable[..., MemorySplit], monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = []
    whole = Bridge.at

    def at(self: Bridge, z: torch.Tensor) -> Any:
        largest.append(z.shape[0] * z.shape[1] * 6)
        return whole(self, z)

    monkeypatch.setattr(Bridge, "at", at)
    config = AnnealedImportanceConfig(chains=3, steps=2, leapfrog=1, limit=7, simulated=5, max_elements=40)
    values = measure([config], linear.model(), splits_of(linear.x), EvaluationContext())
    assert max(largest) <= 40
    assert values.keys() >= {"nll_ais3_t2", "bdmc_gap_ais3_t2"}


COMMON: dict[str, Any] = {
    "encoder": {"kind": "mlp", "hidden": [8]},
    "posterior": "diagonal_normal",
    "prior": {"kind": "standard_normal", "dim": 2},
    "decoder": {"kind": "mlp", "hidden": [8]},
    "likelihood": "bernoulli",
}
HIERARCHY = {"kind": "top_down", "top": {"kind": "standard_normal", "dim": 3}, "groups": [2]}


@pytest.mark.parametrize(
    ("changes", "start", "some"),
    [
        ({}, "prior", True),
        ({"posterior": "dirac"}, "prior", True),
        ({"posterior": "dirac"}, "posterior", False),
        ({"posterior": {"kind": "hamiltonian", "steps": 2}}, "posterior", False),
        ({"prior": HIERARCHY}, "prior", False),
        ({"prior": {"kind": "bernoulli", "dim": 4}, "posterior": "bernoulli"}, "prior", False),
    ],
)
def test_models_without_such_a_path_have_no_value(
    splits_of: Callable[..., MemorySplit], changes: dict[str, Any], start: str, some: bool
) -> None:
    model = build_model(ModelConfig.model_validate({**COMMON, **changes}), DataSpec((9,), "binary"))
    split = splits_of((torch.rand(5, 9) < 0.5).float(), values="binary")
    config = AnnealedImportanceConfig.model_validate(
        {**AnnealedImportanceConfig.example().model_dump(), "start": start}
    )
    values = measure([config], model, split, EvaluationContext())
    assert bool(values) == some
    assert all(math.isfinite(value.value) for value in values.values())
