"""The arithmetic of FID, KID, precision and recall: closed forms, enumeration, Monte Carlo, and other people's code."""

from __future__ import annotations

import itertools
import math

import pytest
import scipy.linalg
import torch
from torch import Tensor

from vaelab.metrics import feature_distances
from vaelab.metrics.feature_distances import frechet_distance, neighbourhoods, polynomial_mmd
from vaelab.metrics.label_entropy import entropy_of

NAMES = ("precision", "recall", "density", "coverage")


def wave(n: int, f: int, phase: float) -> Tensor:
    """Numbers that look random and need no generator, whose stream another version of torch may change."""
    t = torch.arange(n * f, dtype=torch.float64).reshape(n, f)
    return torch.sin(1.7 * t + phase) + torch.cos(0.013 * t * t + phase)


REAL, FAKE = wave(120, 5, 0.0), 0.8 * wave(100, 5, 0.5) + 0.3


def with_moments(mean: Tensor, covariance: Tensor, number: int = 200) -> Tensor:
    """Data whose mean and unbiased covariance are exactly these."""
    x = torch.randn(number, len(mean), dtype=torch.float64)
    x = x - x.mean(0)
    root = torch.linalg.cholesky(x.T @ x / (number - 1))
    white = torch.linalg.solve_triangular(root, x.T, upper=False).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def random_covariance(size: int) -> Tensor:
    a = torch.randn(size, size, dtype=torch.float64)
    return a @ a.T + 0.1 * torch.eye(size, dtype=torch.float64)


def means(real: Tensor, fake: Tensor, k: int) -> list[float]:
    found = neighbourhoods(real, fake, k)
    return [float(getattr(found, name).mean()) for name in NAMES]


def test_frechet_distance_of_normals_is_the_closed_form():
    size = 6
    m, n = torch.randn(2, size, dtype=torch.float64)
    c, d = random_covariance(size), random_covariance(size)
    root = scipy.linalg.sqrtm((c @ d).numpy())
    expected = float((m - n).square().sum() + c.trace() + d.trace()) - 2 * root.trace().real
    assert frechet_distance(with_moments(m, c), with_moments(n, d)) == pytest.approx(expected, rel=1e-9)
    # for diagonal covariances it is the sum of the distances of the axes
    s, t = torch.rand(2, size, dtype=torch.float64) + 0.1
    expected = float(((m - n).square() + (s - t).square()).sum())
    found = frechet_distance(with_moments(m, s.square().diag()), with_moments(n, t.square().diag()))
    assert found == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_stands_singular_covariances():
    x = torch.randn(10, 40)
    assert 0 <= frechet_distance(x, x.flip(0)) < 1e-8
    assert frechet_distance(x, x + 0.5) == pytest.approx(40 * 0.25, rel=1e-6)


def test_frechet_distance_is_biased_like_one_over_n():
    x = torch.randn(2, 200, 400, 4, dtype=torch.float64)
    few, many = (sum(frechet_distance(a[:n], b[:n]) for a, b in zip(*x, strict=True)) / 200 for n in (100, 400))
    assert many > 0
    assert 3.2 < few / many < 4.8


def test_values_of_pytorch_fid_clean_fid_and_prdc():
    """pytorch-fid 0.3.0, clean-fid 0.1.35 and prdc 0.2 on the same arrays."""
    assert frechet_distance(REAL, FAKE) == pytest.approx(0.6011028935418175, rel=1e-10)
    assert polynomial_mmd(REAL[:100], FAKE) == pytest.approx(0.248460691358315, rel=1e-12)
    assert means(REAL, FAKE, 3) == pytest.approx([0.94, 0.8, 0.9233333333333333, 0.775], abs=1e-12)
    assert means(REAL, FAKE, 5) == pytest.approx([0.99, 0.9083333333333333, 1.102, 0.9666666666666667], abs=1e-12)


def test_mmd_is_the_sum_over_pairs():
    x, y = torch.randn(5, 3), torch.randn(4, 3) + 1

    def k(a: Tensor, b: Tensor) -> float:
        return float((a.double() @ b.double() / 3 + 1) ** 3)

    expected = sum(k(x[i], x[j]) for i, j in itertools.permutations(range(5), 2)) / 20
    expected += sum(k(y[i], y[j]) for i, j in itertools.permutations(range(4), 2)) / 12
    expected -= 2 * sum(k(a, b) for a, b in itertools.product(x, y)) / 20
    assert polynomial_mmd(x, y) == pytest.approx(expected, rel=1e-12)


def test_mmd_is_unbiased():
    """In one dimension (xy + 1)^3 compares three moments: 3 (m1 - n1)^2 + 3 (m2 - n2)^2 + (m3 - n3)^2."""
    shift = 0.5
    expected = 3 * shift**2 + 3 * (shift**2) ** 2 + (shift**3 + 3 * shift) ** 2
    x, y = torch.randn(2, 1500, 5, 1, dtype=torch.float64)
    found = torch.tensor([polynomial_mmd(a, b + shift) for a, b in zip(x, y, strict=True)])
    assert abs(found.mean() - expected) < 5 * found.std() / math.sqrt(len(found))
    assert found.min() < 0, "an estimate that is never negative is biased where there is no difference"


def test_neighbourhoods_by_hand():
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    fake = torch.tensor([[0.5], [10.0]])
    found = neighbourhoods(real, fake, 1)
    # the real balls have radius 1; 0.5 is in those of 0 and 1, and 10 in none
    assert found.precision.tolist() == [1, 0]
    assert found.density.tolist() == [2, 0]
    assert found.coverage.tolist() == [1, 1, 0, 0]
    # the generated balls have radius 9.5
    assert found.recall.tolist() == [1, 1, 1, 1]
    assert neighbourhoods(real, torch.tensor([[5.0], [5.5]]), 1).recall.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_identical_sets_have_one_and_disjoint_sets_nothing(k):
    x = torch.randint(-50, 50, (60, 4)).float().unique(dim=0)
    assert means(x, x, k) == pytest.approx([1, 1, 1, 1], abs=1e-12)
    assert means(x, x + 1000, k) == [0, 0, 0, 0]


def test_collapse_and_one_outlier():
    real = torch.randn(300, 2)
    collapsed = real[:1] + 1e-3 * torch.randn(300, 2)
    precision, recall, _, coverage = means(real, collapsed, 3)
    assert precision == 1
    assert recall < 0.05
    assert coverage < 0.05


def test_expected_coverage_of_one_distribution():
    n, k = 20, 3
    expected = 1 - math.prod((n - j) / (2 * n - j) for j in range(1, k + 1))
    pairs = torch.randn(400, 2, n, 2)
    found = torch.stack([neighbourhoods(a, b, k).coverage.mean() for a, b in pairs])
    assert abs(found.mean() - expected) < 5 * found.std() / math.sqrt(len(found))


def test_parts_change_nothing(monkeypatch):
    whole = neighbourhoods(REAL, FAKE, 3)
    monkeypatch.setattr(feature_distances, "_ROWS", 7)
    parts = neighbourhoods(REAL, FAKE, 3)
    assert all(torch.equal(getattr(whole, name), getattr(parts, name)) for name in NAMES)


def test_entropy_of_labels():
    entropy, stderr, shares = entropy_of(torch.arange(10).repeat(7), 10)
    assert entropy == pytest.approx(math.log(10))
    assert stderr == pytest.approx(0, abs=1e-12)
    assert shares.tolist() == pytest.approx([0.1] * 10)
    assert entropy_of(torch.zeros(9, dtype=torch.int64), 10)[0] == 0
    p = torch.tensor([0.6, 0.3, 0.1])
    found = [entropy_of(torch.multinomial(p, 500, replacement=True), 4)[:2] for _ in range(400)]
    values, errors = torch.tensor(found).T
    bias = -(3 - 1) / (2 * 500)
    assert abs(values.mean() + (p * p.log()).sum() - bias) < 5 * values.std() / 20
    assert errors.mean() == pytest.approx(float(values.std()), rel=0.15)
