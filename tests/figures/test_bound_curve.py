"""The bound against K: unbiased for each K, and falling."""

from __future__ import annotations

import itertools
import math

import torch

from vaelab.figures.bound_curve import bound_curve


def test_each_point_is_the_mean_over_disjoint_sets() -> None:
    log_weight = torch.randn(8, 3, dtype=torch.float64)
    numbers, bounds = bound_curve(log_weight)
    assert numbers == [1, 2, 4, 8]
    torch.testing.assert_close(bounds[0], -log_weight.mean(0))
    torch.testing.assert_close(bounds[3], math.log(8) - log_weight.logsumexp(0))
    pairs = [math.log(2) - log_weight[i : i + 2].logsumexp(0) for i in (0, 2, 4, 6)]
    torch.testing.assert_close(bounds[1], torch.stack(pairs).mean(0))


def test_every_curve_falls_whatever_the_draws() -> None:
    # the logarithm of a mean is no less than the mean of logarithms, for each datum and draw
    _, bounds = bound_curve(5 * torch.randn(64, 20, dtype=torch.float64))
    for above, below in itertools.pairwise(bounds):
        assert bool((below <= above + 1e-12).all())


def test_the_bound_of_log_normal_weights() -> None:
    # E log w = -s^2/2 where E w = 1
    scale, number = 0.5, 4000
    log_weight = scale * torch.randn(4, number, generator=torch.Generator().manual_seed(0)).double() - scale**2 / 2
    _, bounds = bound_curve(log_weight)
    error = float(bounds[0].std()) / math.sqrt(number)
    assert abs(float(bounds[0].mean()) - scale**2 / 2) < 5 * error
    # the delta method: half the variance of the weights' mean
    assert abs(float(bounds[2].mean()) - math.expm1(scale**2) / 8) < 0.01
