"""Mixtures of models whose densities are known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.distributions import MultivariateNormal

from core.experiments import content
from core.test_exact_answers import linear_gaussian
from vaelab.config import parse_experiment
from vaelab.datasets import MemorySplit
from vaelab.ensembles import Ensemble, Scores, fit_weights, mixture_log_prob, score
from vaelab.runs import Run, RunDirectory

SHIFT = 0.8


def members(posterior_error: float = 0.0) -> tuple[list[Run], list[MultivariateNormal]]:
    """Two linear-Gaussian models with their exact p(x); the second is the first, moved."""
    runs, exact = [], []
    for shift in (0.0, SHIFT):
        model, _, marginal = linear_gaussian()
        with torch.no_grad():
            head, decoder = model.posterior.heads[0].net[0], model.decoder.net[0]
            latents = len(head.bias) // 2
            # the exact posterior's mean is linear in x - b: moving b by the shift moves it by minus the gain of the shift
            head.bias[:latents] -= head.weight[:latents, : len(decoder.bias)].sum(1) * shift
            head.bias[:latents] += posterior_error
            decoder.bias += shift
        run = Run(RunDirectory(Path("nowhere")), parse_experiment(content()), torch.device("cpu"))
        run.__dict__["model"] = model.eval()
        runs.append(run)
        exact.append(MultivariateNormal(marginal.loc + shift, marginal.covariance_matrix))
    return runs, exact


class Doubles(MemorySplit):
    """A split that keeps the precision of its data."""

    def fetch(self, index: Tensor):
        from vaelab.types import Batch

        return Batch(self._stored[index])


def split_of(x: Tensor) -> MemorySplit:
    return Doubles(linear_gaussian()[0].data, x, None)


def drawn(exact: list[MultivariateNormal], number: int, share: float) -> Tensor:
    torch.manual_seed(5)
    chosen = torch.rand(number) < share
    return torch.where(chosen[:, None], exact[0].sample((number,)), exact[1].sample((number,)))


def test_the_mixture_is_the_exact_one_where_the_posteriors_are() -> None:
    runs, exact = members()
    x = drawn(exact, 30, 0.5)
    scores = score(runs, split_of(x), samples=1)
    log_p = torch.stack([p.log_prob(x) for p in exact])
    # with the exact posterior every importance weight is p(x)
    torch.testing.assert_close(scores.log_p, log_p, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(scores.elbo, log_p, rtol=1e-9, atol=1e-9)
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    exact_mixture = (0.3 * exact[0].log_prob(x).exp() + 0.7 * exact[1].log_prob(x).exp()).log()
    torch.testing.assert_close(mixture_log_prob(scores.log_p, weights), exact_mixture)
    mixture = Ensemble(tuple(runs), weights, None, scores, 1, 0, None)
    assert mixture.nll.value == pytest.approx(-float(exact_mixture.mean()))
    # the paired difference and its standard error, by hand
    best = int(log_p.mean(1).argmax())
    difference = log_p[best] - exact_mixture
    assert mixture.best == best
    assert mixture.gain.value == pytest.approx(float(difference.mean()))
    assert mixture.gain.stderr == pytest.approx(float(difference.std()) / math.sqrt(30))
    unpaired = math.hypot(mixture.nll.stderr or 0, mixture.member_nll(best).stderr or 0)
    assert mixture.gain.stderr < 0.5 * unpaired


def test_the_bounds_are_in_order_where_the_posteriors_are_wrong() -> None:
    runs, exact = members(posterior_error=0.3)
    x = drawn(exact, 400, 0.5)
    scores = score(runs, split_of(x), samples=20)
    mixture = Ensemble(tuple(runs), torch.full((2,), 0.5, dtype=torch.float64), None, scores, 20, 0, None)
    # sample by sample, not on average alone
    assert bool((scores.elbo <= scores.log_p).all())
    assert mixture.negative_elbo.value > mixture.nll.value + 0.05
    exact_nll = -mixture_log_prob(torch.stack([p.log_prob(x) for p in exact]), mixture.weights)
    off = torch.cat([-mixture_log_prob(scores.log_p, mixture.weights) - exact_nll])
    assert -5 * float(off.std()) / 20 < float(off.mean()) < 0.1
    assert mixture.nll.value < min(mixture.member_nll(0).value, mixture.member_nll(1).value)


def test_fitted_weights_are_the_maximum() -> None:
    _, exact = members()
    x = drawn(exact, 3000, 0.3)
    log_p = torch.stack([p.log_prob(x) for p in exact])
    weights = fit_weights(log_p)
    found = minimize(
        lambda w: -float(mixture_log_prob(log_p, torch.tensor([w[0], 1 - w[0]], dtype=torch.float64)).mean()),
        [0.5],
        bounds=[(1e-6, 1 - 1e-6)],
        tol=1e-12,
    )
    assert float(weights.sum()) == pytest.approx(1)
    assert float(weights[0]) == pytest.approx(float(found.x[0]), abs=1e-4)
    # and the share that the data were drawn with, within 5 of the estimator's standard errors (the inverse information)
    p = log_p.exp()
    information = float(((p[0] - p[1]) / (0.3 * p[0] + 0.7 * p[1])).square().sum())
    assert abs(float(weights[0]) - 0.3) < 5 / math.sqrt(information)


def test_a_member_that_explains_nothing_gets_no_weight() -> None:
    log_p = torch.stack([torch.randn(200), torch.randn(200), torch.randn(200) - 50]).double()
    weights = fit_weights(log_p)
    assert float(weights[2]) < 1e-12
    # at the maximum the mean of p_m / p is 1 for every member with weight, and below 1 for the others
    ratio = (log_p - mixture_log_prob(log_p, weights)).exp().mean(1)
    torch.testing.assert_close(
        ratio[weights > 1e-6], torch.ones(2).double()[: int((weights > 1e-6).sum())], atol=1e-4, rtol=0
    )
    assert float(ratio.max()) < 1 + 1e-4


def test_equal_members_make_the_member() -> None:
    log_p = torch.randn(1, 50, dtype=torch.float64).expand(3, 50)
    scores = Scores(log_p, log_p - 1)
    runs, _ = members()
    mixture = Ensemble((runs[0],) * 3, torch.full((3,), 1 / 3, dtype=torch.float64), None, scores, 1, 0, None)
    assert mixture.nll.value == pytest.approx(mixture.member_nll(0).value)
    assert mixture.gain.value == pytest.approx(0, abs=1e-12)


def test_samples_come_from_members_by_their_weights() -> None:
    runs, _ = members()
    for run, level in zip(runs, (-100.0, 100.0), strict=True):
        with torch.no_grad():
            run.model.decoder.net[0].bias.fill_(level)
    scores = Scores(torch.zeros(2, 1), torch.zeros(2, 1))
    mixture = Ensemble(tuple(runs), torch.tensor([0.2, 0.8], dtype=torch.float64), None, scores, 1, 0, None)
    share = float((mixture.sample(2000) > 0).all(1).float().mean())
    assert abs(share - 0.8) < 5 * math.sqrt(0.16 / 2000)
    assert torch.equal(mixture.sample(5, seed=3), mixture.sample(5, seed=3))
