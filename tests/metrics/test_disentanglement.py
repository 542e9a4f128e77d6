"""The scores on codes whose answer is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm

from vaelab.errors import DataError
from vaelab.metrics.disentanglement import (
    beta_vae_score,
    dci,
    explicitness,
    factor_vae_score,
    irs,
    mig,
    modularity,
    rmig,
    sap,
    udr,
)

SIZES = (3, 4, 5)


def grid(sizes=SIZES, repeats=10):
    """Every combination equally often, in random order, so that factors are exactly independent."""
    factors = np.array(list(itertools.product(*map(range, sizes))) * repeats)
    return factors[np.random.RandomState(0).permutation(len(factors))]


def few(function, codes, factors):
    """A score made of random draws, with fewer of them than by default."""
    return function(codes, factors, 32, 1500, 1500)


def chance(classes, number=1500):
    """Five standard errors around the accuracy of a guess."""
    return pytest.approx(1 / classes, abs=5 * math.sqrt((classes - 1) / classes**2 / number))


def test_perfect_codes():
    factors = grid()
    codes = np.stack([2.0 - factors[:, 2], 3.0 * factors[:, 0], factors[:, 1] ** 2], 1)
    assert mig(codes, factors) == pytest.approx(np.ones(3))
    assert rmig(codes, np.full_like(codes, 1e-6), factors) == pytest.approx(np.ones(3))
    assert modularity(codes, factors) == pytest.approx(np.ones(3))
    assert explicitness(codes, factors) == pytest.approx(np.ones(3), abs=0.01)
    assert irs(codes, factors) == pytest.approx(1)
    assert few(beta_vae_score, codes, factors) == pytest.approx(1, abs=0.005)
    assert few(factor_vae_score, codes, factors) == 1
    assert sap(factors.astype(float), factors, "r2") == pytest.approx(np.ones(3))
    found = dci(codes, factors)
    assert [found.disentanglement, found.completeness] == pytest.approx([1, 1], abs=1e-3)
    assert found.informativeness == pytest.approx(np.ones(3))


def test_classifiers_of_single_codes():
    factors = grid((2, 2), 100)
    codes = factors + 0.3 * np.random.RandomState(1).standard_normal(factors.shape)
    # the best classifier of two normals at distance 1 is right with this probability, and the other code is a guess
    accuracy = norm.cdf(0.5 / 0.3)
    assert sap(codes, factors) == pytest.approx(np.full(2, accuracy - 0.5), abs=0.15)
    assert sap(codes, factors, "r2") == pytest.approx(np.full(2, 0.25 / (0.25 + 0.09)), abs=0.15)


def test_rotated_codes():
    factors = grid((6, 6), 40)
    codes = np.stack([factors[:, 0] + factors[:, 1], factors[:, 0] - factors[:, 1]], 1).astype(float)
    # by symmetry both codes tell as much of each factor, so that the gap is 0 and the vote is a guess
    assert mig(codes, factors, 11) == pytest.approx(np.zeros(2), abs=1e-9)
    assert modularity(codes, factors, 11) == pytest.approx(np.zeros(2), abs=1e-9)
    assert sap(codes, factors, "r2") == pytest.approx(np.zeros(2), abs=1e-9)
    assert few(factor_vae_score, codes, factors) == chance(2)
    found = dci(codes, factors)
    assert found.disentanglement < 0.05
    assert found.completeness < 0.05
    assert (found.informativeness == 1).all()
    # holding a leaves b - E b, at most 5/2 of the largest deviation 5 of a + b
    assert irs(codes, factors, 1.0) == pytest.approx(0.5)
    # the BetaVAE score is lenient: rotations by less than 45 degrees pass
    turned = np.stack([2.0 * factors[:, 0] + factors[:, 1], factors[:, 0] - 2.0 * factors[:, 1]], 1)
    assert few(beta_vae_score, turned, factors) > 0.95
    assert mig(turned, factors).max() < 0.5


def test_codes_of_noise():
    factors = grid(repeats=50)
    codes = np.random.RandomState(1).standard_normal((len(factors), 4))
    # the bias of each estimate, (B - 1)(V - 1) / 2N nats, is above the gap of two
    bias = 19 * 4 / (2 * len(factors)) / math.log(3)
    assert (mig(codes, factors) < bias).all()
    assert (sap(codes, factors) < 0.05).all()
    assert explicitness(codes, factors) == pytest.approx(np.full(3, 0.5), abs=0.06)
    assert few(beta_vae_score, codes, factors) == chance(3)
    assert few(factor_vae_score, codes, factors) == chance(3)
    assert irs(codes, factors, 1.0) < 0.25


def test_redundant_codes():
    factors = grid()
    codes = np.concatenate([factors, -2 * factors], 1).astype(float)
    assert (mig(codes, factors) == 0).all()
    assert rmig(codes, np.full_like(codes, 1e-3), factors) == pytest.approx(np.zeros(3), abs=1e-12)
    assert sap(codes, factors, "r2") == pytest.approx(np.zeros(3), abs=1e-12)
    assert modularity(codes, factors) == pytest.approx(np.ones(6))
    assert irs(codes, factors) == pytest.approx(1)
    assert few(factor_vae_score, codes, factors) == 1
    found = dci(codes, factors)
    assert found.disentanglement == pytest.approx(1, abs=1e-3)
    # each factor is spread evenly over two of six codes
    assert found.completeness == pytest.approx(1 - math.log(2) / math.log(6), abs=0.02)


def test_constant_codes():
    factors = grid()
    codes = np.zeros((len(factors), 4))
    assert (mig(codes, factors) == 0).all()
    assert rmig(codes, codes + 1, factors) == pytest.approx(np.zeros(3), abs=1e-12)
    assert (modularity(codes, factors) == 0).all()
    assert (sap(codes, factors) == 0).all()
    assert (sap(codes, factors, "r2") == 0).all()
    assert explicitness(codes, factors) == pytest.approx(np.full(3, 0.5))
    assert irs(codes, factors) == few(factor_vae_score, codes, factors) == 0
    assert few(beta_vae_score, codes, factors) == chance(3)
    found = dci(codes, factors)
    assert found.disentanglement == found.completeness == 0
    # a constant code beside perfect ones changes nothing but the mean over codes
    codes = np.concatenate([factors, codes[:, :1]], 1)
    assert mig(codes, factors) == pytest.approx(np.ones(3))
    assert modularity(codes, factors) == pytest.approx(np.array([1, 1, 1, 0]))
    assert irs(codes, factors) == pytest.approx(1)
    assert few(factor_vae_score, codes, factors) == 1


def test_codes_below_the_threshold_take_no_part_in_the_vote():
    factors = grid()
    codes = np.concatenate([factors, 0.01 * factors[:, :1] + 1e-4 * factors[:, 1:2]], 1)
    assert codes[:, 3].var() < 0.05
    assert few(factor_vae_score, codes[:, 1:], factors) < 0.9
    assert factor_vae_score(codes[:, 1:], factors, 32, 1500, 1500, threshold=0.0) > 0.95


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_rmig_in_closed_form(scale):
    """Two bins and two values: the bin is a binary channel that errs with probability Phi(-1/s)."""
    factors = np.array([[0], [1]] * 50)
    mean = np.concatenate([2.0 * factors - 1, np.zeros((100, 1))], 1)
    error = norm.cdf(-1 / scale)
    noise = -sum(p * math.log(p) for p in (error, 1 - error))
    found = rmig(mean, np.full_like(mean, scale), factors, bins=2)
    assert found == pytest.approx(np.array([1 - noise / math.log(2)]), abs=1e-9)


def test_udr_of_known_models():
    rng = np.random.RandomState(0)
    source = rng.standard_normal((2000, 3))
    axes = [source, -2 * source[:, [2, 0, 1]], np.exp(source[:, [1, 2, 0]])]
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    active = [np.ones(3)] * 4
    scores = udr([*axes, source @ rotation], active, "spearman")
    # max^2 / sum of a column with one entry of 1 and two near 0
    assert (scores[:3] > 0.9).all()
    assert scores[3] < 0.7
    # codes without information take no part, and a model without any has nothing to agree with
    padded = [np.concatenate([z, rng.standard_normal((2000, 1))], 1) for z in axes]
    assert (udr(padded, [np.array([1, 1, 1, 0.001])] * 3, "spearman") > 0.9).all()
    assert (udr(padded, [np.zeros(4)] * 3) == 0).all()
    with pytest.raises(DataError, match="two models or more"):
        udr(axes[:1], active[:1])
    with pytest.raises(DataError, match="of the same N data"):
        udr([source, source[:5]], active[:2])


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (np.zeros((4, 2)), np.zeros((5, 1)), "codes .N, D. and factors .N, F."),
        (np.zeros((4, 2)), np.zeros((4, 1)), "one value only"),
        (np.full((4, 2), np.nan), np.arange(4)[:, None], "NaN"),
        (np.zeros((4, 1)), np.arange(4)[:, None], "2 codes or more"),
    ],
)
def test_arrays_that_do_not_fit(codes, factors, message):
    with pytest.raises(DataError, match=message):
        mig(codes, factors)


@pytest.mark.parametrize("score", [modularity, beta_vae_score, factor_vae_score])
def test_one_factor_cannot_be_told_from_others(score):
    with pytest.raises(DataError, match="2 factors or more"):
        score(np.zeros((4, 2)), np.arange(4)[:, None])
