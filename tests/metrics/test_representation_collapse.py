"""Collapsed units: which, when, and why."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import vaelab
from core.models import flat_model
from vaelab.errors import DataError
from vaelab.inference import infer_latents
from vaelab.metrics import EvaluationContext, measure
from vaelab.metrics.collapse import CollapseConfig
from vaelab.metrics.collapse_report import collapse_report, unit_name

HIERARCHY = {"kind": "top_down", "top": {"kind": "standard_normal", "dim": 2}, "groups": [3], "width": 8}
NAMES = ("collapsed_units_e0.01_d0.01", "collapsed_fraction_e0.01_d0.01", "mismatched_units_e0.01_d0.01")


def with_second_unit(linear, mean: float, log_variance: float):
    """The exact model, but for its second unit, whose posterior is the same for all data."""
    model = linear.model()
    [head] = [module for module in model.posterior.modules() if isinstance(module, torch.nn.Linear)]
    with torch.no_grad():
        head.weight[1], head.bias[1], head.bias[3] = 0.0, mean, log_variance
    return model


@pytest.mark.parametrize(
    ("mean", "log_variance", "counts"),
    [(0.0, 0.0, (1, 0.5, 0)), (1.0, 0.3, (0, 0, 1)), (0.14, 0.0, (1, 0.5, 0)), (0.15, 0.0, (0, 0, 1))],
)
def test_units_are_collapsed_or_mismatched(mean, log_variance, counts, linear, splits_of):
    r"""With $\log\sigma^2 = 0$ the KL is $\mu^2/2$, which passes 0.01 at 0.1414."""
    model, split = with_second_unit(linear, mean, log_variance), splits_of(linear.x)
    values = measure([CollapseConfig(units=True)], model, split, EvaluationContext(batch_size=20))
    assert tuple(values[name].value for name in NAMES) == counts
    rate = (math.exp(log_variance) + mean**2 - 1 - log_variance) / 2
    assert values[unit_name("rate", 0, 1)].value == pytest.approx(rate, abs=1e-6)
    assert values[unit_name("explained", 0, 1)].value == pytest.approx(0, abs=1e-6)
    gain = linear.posterior_variance[0] * linear.weight[:, 0] / 0.7**2
    means = (linear.x - linear.bias) @ gain
    signal, noise = means.var(), linear.posterior_variance[0]
    # of draws: the noise's variance is known to a few per cent
    assert values[unit_name("explained", 0, 0)].value == pytest.approx(float(signal / (signal + noise)), rel=0.1)


def test_a_share_of_the_data_may_have_more(linear, splits_of):
    """One datum in 50 has a KL of 2 in the second unit, by an encoder that moves it."""
    model = linear.model()
    [head] = [module for module in model.posterior.modules() if isinstance(module, torch.nn.Linear)]
    x = linear.bias.expand(50, -1).clone()
    x[7] += 2.0 * linear.weight[:, 1]
    with torch.no_grad():
        head.bias[3] = 0.0
    for delta, collapsed in ((0.0, 0), (0.019, 0), (0.02, 1)):
        values = measure([CollapseConfig(delta=delta)], model, splits_of(x), EvaluationContext())
        assert values[f"collapsed_units_e0.01_d{delta:g}"].value == collapsed


def test_rates_of_units_sum_to_the_rates_of_their_groups(tiny_splits):
    model, split = flat_model(prior=HIERARCHY), tiny_splits().test
    values = measure([CollapseConfig(units=True, epsilon=0.5)], model, split, EvaluationContext())
    with model.evaluating(), torch.no_grad():
        (batch,) = EvaluationContext(seeded=True).batches(split)  # which leaves the generator as the metric has it
        groups, _ = infer_latents(model, batch)
    for i, units in enumerate((2, 3)):
        total = sum(values[unit_name("rate", i, u)].value for u in range(units))
        assert total == pytest.approx(float(groups[i].rate().mean()), rel=1e-5)
    parts = [values[f"collapsed_units_e0.5_d0.01/group_{i}"].value for i in range(2)]
    assert sum(parts) == values["collapsed_units_e0.5_d0.01"].value


def test_nothing_without_normals(tiny_splits):
    for posterior in ("laplace", "dirac", "flow"):
        model = flat_model(posterior=posterior)
        assert measure([CollapseConfig()], model, tiny_splits().test, EvaluationContext()) == {}


def history(*rates: tuple[float, ...], explained: float = 0.5) -> list[dict[str, Any]]:
    """A validation every 100 steps with the rate of each unit, between lines of the training."""
    lines: list[dict[str, Any]] = []
    for k, row in enumerate(rates):
        lines.append({"split": "train", "step": 100 * k + 50, "loss": 1.0})
        units = {unit_name("rate", 0, u): rate for u, rate in enumerate(row)}
        units |= {unit_name("explained", 0, u): explained for u in range(len(row))}
        lines.append({"split": "validation", "step": 100 * (k + 1), **units})
    return lines


def test_a_unit_that_others_took_over():
    lost, kept, unused = collapse_report(history((1.0, 1.0, 0.0), (0.8, 1.4, 0.0), (0.0, 2.1, 0.0), (0.0, 2.2, 0.0)))
    assert (lost.fate, lost.since, lost.rate, lost.peak) == ("lost", 300, 0.0, 1.0)
    assert "took over" in lost.cause
    assert (kept.fate, kept.since, kept.cause) == ("active", 100, "")
    assert (unused.fate, unused.since) == ("never used", 100)
    assert "more units than the data need" in unused.cause
    assert str(lost).startswith(
        "group 0, unit 0: lost since step 300, rate 0 nats (at most 1). The total rate did not fall"
    )


def test_units_that_were_lost_with_the_rate():
    reports = collapse_report(history((1.0, 2.0), (1.5, 2.0), (0.2, 0.005), (0.0, 0.0)))
    assert [(report.fate, report.since) for report in reports] == [("lost", 400), ("lost", 300)]
    assert all("total rate fell" in report.cause for report in reports)


def test_no_unit_was_ever_used():
    reports = collapse_report(history((0.001, 0.0), (0.0, 0.002)))
    assert {report.fate for report in reports} == {"never used"}
    assert all("No unit is used" in report.cause for report in reports)


def test_a_rate_without_information():
    [report] = collapse_report(history((0.5,), (0.5,), explained=0.001))
    assert (report.fate, report.since) == ("mismatched", 100)
    assert "free bits" in report.cause


def test_a_history_without_rates_says_what_to_do():
    with pytest.raises(DataError, match=r"\"kind\": \"collapse\".*training.validation"):
        collapse_report([{"split": "validation", "step": 1, "negative_elbo": 3.0}])


@pytest.mark.parametrize(("weight", "fates"), [(1000.0, {"never used"}), (0.1, {"active"})])
def test_the_history_of_a_run(weight: float, fates: set[str]):
    run = vaelab.train(
        {
            "data": {
                "kind": "digits",
                "binarisation": "threshold",
                "train_limit": 300,
                "validation": 60,
                "test_limit": 20,
            },
            "model": {
                "encoder": {"kind": "mlp", "hidden": [32]},
                "posterior": "diagonal_normal",
                "prior": {"kind": "standard_normal", "dim": 2},
                "decoder": {"kind": "mlp", "hidden": [32]},
                "likelihood": "bernoulli",
            },
            "objective": {"kind": "elbo", "divergences": [{"kind": "kl", "weight": weight}]},
            "training": {
                "epochs": 20,
                "batch_size": 50,
                "validate_every": 10,
                "validation": [{"kind": "collapse", "units": True}],
            },
            "evaluation": {"metrics": ["negative_elbo"], "figures": []},
        }
    )
    reports = collapse_report(run.history, epsilon=0.05)
    assert {report.fate for report in reports} == fates
    assert len(reports) == 2
