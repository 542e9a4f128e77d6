"""Cutting a pass into parts changes its memory and not its result."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from vaelab.metrics import EvaluationContext, measure, passes, seeded
from vaelab.metrics.importance_nll import ImportanceNLLConfig
from vaelab.metrics.negative_elbo import NegativeElboConfig
from vaelab.metrics.passes import chunks
from vaelab.types import Batch


class Table:
    """Hands out known log-weights, and remembers the largest pass."""

    def __init__(self, log_weight):
        self.log_weight = log_weight
        self.used = [0] * log_weight.shape[1]
        self.largest = 0

    def infer(self, batch: Batch, samples: int = 1):
        rows = batch.x[:, 0].long().tolist()
        start = self.used[rows[0]]
        for row in rows:
            self.used[row] += samples
        self.largest = max(self.largest, samples * batch.x.numel())
        part = self.log_weight[start : start + samples, rows]
        return SimpleNamespace(log_weight=part, log_px=part, total_rate=lambda: torch.zeros_like(part))


@pytest.mark.parametrize("limit", [30, 6 * 17, 10**6])
def test_streaming_over_batch_and_samples_is_exact(linear, splits_of, monkeypatch, limit):
    samples, number = 23, 9
    # far below what float32's exp can hold, and far apart
    log_weight = -900 + 30 * torch.randn(samples, number, dtype=torch.float64)
    x = torch.arange(number).float().unsqueeze(1).repeat(1, 6)
    model, table = linear.model(), Table(log_weight)
    monkeypatch.setattr(passes, "log_weights", lambda _, batch, count: table.infer(batch, count).log_weight)
    configs = [ImportanceNLLConfig(samples=samples, max_elements=limit)]
    values = measure(configs, model, splits_of(x), EvaluationContext(batch_size=5))
    nll = math.log(samples) - log_weight.logsumexp(0)
    weight = log_weight.softmax(0)
    assert table.used == [samples] * number
    assert table.largest <= max(limit, 6)
    assert values["nll_is23"].value == pytest.approx(nll.mean().item(), rel=1e-12)
    assert values["ess_is23"].value == pytest.approx((1 / weight.square().sum(0)).mean().item(), rel=1e-9)


@pytest.mark.parametrize("limit", [1, 40, 10**6])
def test_the_elbo_averages_all_samples(linear, splits_of, monkeypatch, limit):
    samples, number = 7, 5
    log_px = torch.randn(samples, number, dtype=torch.float64)
    model, table = linear.model(), Table(log_px)
    monkeypatch.setattr(model, "infer", table.infer)
    x = torch.arange(number).float().unsqueeze(1).repeat(1, 6)
    configs = [NegativeElboConfig(samples=samples, max_elements=limit)]
    values = measure(configs, model, splits_of(x), EvaluationContext(batch_size=3))
    assert values["distortion"].value == pytest.approx(-log_px.mean().item(), rel=1e-9)


def test_parts_keep_what_belongs_together(linear):
    x, y = torch.arange(30.0).reshape(5, 6), torch.arange(5)
    batch = Batch(x, y, observed=x > 3, condition=2 * x)
    parts = [part for part, counts in chunks(linear.model(), batch, 10, 120) if counts == [10]]
    assert [len(part) for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat([part.x for part in parts]), x)
    assert torch.equal(torch.cat([part.y for part in parts]), y)
    assert torch.equal(torch.cat([part.observed for part in parts]), x > 3)
    assert torch.equal(torch.cat([part.condition for part in parts]), 2 * x)


def test_samples_are_kept_together_before_data_are(linear):
    batch = Batch(torch.zeros(5, 6))
    cut = [(len(part), counts) for part, counts in chunks(linear.model(), batch, 10, 6 * 4)]
    assert cut == [(1, [4, 4, 2])] * 5


def test_a_decoder_run_in_parts_gives_the_weights_of_one_pass(linear, monkeypatch):
    model, batch = linear.model(exact=False), Batch(linear.x[:3])
    with seeded(0), torch.no_grad():
        whole = model.infer(batch, 50).log_weight
    monkeypatch.setattr(passes, "_IN_CACHE", 6 * 3 * 7)
    monkeypatch.setattr(passes, "_LEAST_PASS", 1)
    sizes = []
    decode = model.decoder.distribution
    monkeypatch.setattr(model.decoder, "distribution", lambda code, how: sizes.append(len(code)) or decode(code, how))
    with seeded(0), torch.no_grad():
        parts = passes.log_weights(model, batch, 50)
    assert sizes == [7] * 7 + [1]
    torch.testing.assert_close(parts, whole)


def test_limit_takes_the_first_data(linear, splits_of):
    first = measure([ImportanceNLLConfig(samples=2)], linear.model(), splits_of(linear.x[:7]), EvaluationContext())
    limited = measure(
        [ImportanceNLLConfig(samples=2, limit=7)], linear.model(), splits_of(linear.x), EvaluationContext()
    )
    assert limited["nll_is2"] == first["nll_is2"]
