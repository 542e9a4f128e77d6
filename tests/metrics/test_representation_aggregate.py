"""The parts of the KL between aggregate posterior and prior, where they are known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde, norm
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from core.models import FLAT, flat_model, model_config
from vaelab.build import build_model
from vaelab.datasets import MemorySplit
from vaelab.distributions import DiagonalNormal, FullNormal
from vaelab.errors import DataError
from vaelab.inference import infer_latents
from vaelab.metrics import EvaluationContext, measure
from vaelab.metrics.aggregate import joined, log_kernel, log_mixture
from vaelab.metrics.aggregate_kl import AggregateKLConfig
from vaelab.types import DataSpec

MEAN = torch.tensor([0.5, -1.0])
COVARIANCE = torch.tensor([[1.0, 0.9], [0.9, 1.6]])


def normals(number: int, seed: int = 0) -> DiagonalNormal:
    g = torch.Generator().manual_seed(seed)
    loc = torch.randn(number, 3, generator=g, dtype=torch.float64)
    log_scale = 0.5 * torch.randn(number, 3, generator=g, dtype=torch.float64) - 0.5
    return DiagonalNormal.from_log_scale(loc, log_scale)


def known(linear, number: int) -> Tensor:
    """Data whose exact posterior means are drawn from a normal, so that the aggregate posterior is a normal."""
    mean = MultivariateNormal(MEAN, COVARIANCE).sample((number,))
    gain = linear.posterior_variance[:, None] * linear.weight.T / 0.7**2
    return mean @ torch.linalg.pinv(gain).T + linear.bias


def expected_parts(linear) -> dict[str, float]:
    total = COVARIANCE + linear.posterior_variance.diag()
    prior = MultivariateNormal(torch.zeros(2), torch.eye(2))
    marginals = Normal(MEAN, total.diagonal().sqrt())
    parts = {
        "mutual_information": (total.logdet() - linear.posterior_variance.log().sum()) / 2,
        "aggregate_kl": kl_divergence(MultivariateNormal(MEAN, total), prior),
        "total_correlation": (total.diagonal().log().sum() - total.logdet()) / 2,
        "dimension_kl": kl_divergence(marginals, Normal(torch.zeros(2), torch.ones(2))).sum(),
    }
    return {name: float(value) for name, value in parts.items()}


@pytest.mark.parametrize("own", [0.0, 0.05, 1 / 12])
def test_mixtures_are_those_of_a_table(own: float):
    q = normals(12)
    z = q.sample()
    found = log_mixture(z, q, own)
    weights = torch.full((12, 12), (1 - own) / 11, dtype=torch.float64).fill_diagonal_(own)
    terms = Normal(q.loc, q.scale).log_prob(z.unsqueeze(1)).exp()
    torch.testing.assert_close(found.joint.exp(), (weights * terms.prod(2)).sum(1))
    torch.testing.assert_close(found.marginals.exp(), (weights.unsqueeze(2) * terms).sum(1))
    parts = log_mixture(z, q, own, max_elements=12 * 3 * 5)
    torch.testing.assert_close(parts.joint, found.joint)
    torch.testing.assert_close(parts.marginals, found.marginals)


def test_mixtures_of_any_covariance_have_no_marginals():
    q = normals(9)
    z = q.sample()
    full = FullNormal(q.loc, torch.diag_embed(q.scale))
    found = log_mixture(z, full, 1 / 9, max_elements=60)
    assert found.marginals is None
    torch.testing.assert_close(found.joint, log_mixture(z, q, 1 / 9).joint)


def test_the_stratified_density_is_unbiased():
    """Its mean over all subsets of 4 of 7 data that hold a datum is the mixture of all 7."""
    q, datum = normals(7), 2
    z = q.sample()
    exact = log_mixture(z, q, 1 / 7)
    joint, marginals = [], []
    for others in itertools.combinations([i for i in range(7) if i != datum], 3):
        rows = torch.tensor([datum, *others])
        found = log_mixture(z[rows], q.map(lambda tensor, n, rows=rows: tensor[rows]), 1 / 7)
        joint.append(found.joint[0].exp())
        marginals.append(found.marginals[0].exp())
    torch.testing.assert_close(torch.stack(joint).mean(), exact.joint[datum].exp())
    torch.testing.assert_close(torch.stack(marginals).mean(0), exact.marginals[datum].exp())


def test_two_estimators_bracket_the_information():
    """Of z = x + noise with normals, where it is log(1 + 4) / 2 a component, from samples of 10 data."""
    g = torch.Generator().manual_seed(0)
    low, high = [], []
    for _ in range(300):
        loc = 2 * torch.randn(10, 2, generator=g, dtype=torch.float64)
        q = DiagonalNormal.from_log_scale(loc, torch.zeros_like(loc))
        z = loc + torch.randn(10, 2, generator=g, dtype=torch.float64)
        for own, found in ((1 / 10, low), (0.0, high)):
            found.append((q.log_prob(z) - log_mixture(z, q, own).joint).mean())
    exact = math.log(5)
    for found, sign in ((torch.stack(low), -1), (torch.stack(high), 1)):
        error = found.std() / math.sqrt(300)
        assert sign * (found.mean() - exact) > 5 * error


def test_kernel_estimates_are_scipys():
    z = torch.randn(40, 2, dtype=torch.float64) @ torch.tensor([[1.0, 0.7], [0.0, 2.0]], dtype=torch.float64)
    found, points = log_kernel(z), z.numpy()
    spread = points.std(0, ddof=1)
    for i in range(0, 40, 7):
        others = np.delete(points, i, 0)
        for d in range(2):
            # scipy's bandwidth is a factor of the spread of the data it was given
            factor = spread[d] * 40 ** (-1 / 5) / others[:, d].std(ddof=1)
            assert found.marginals[i, d] == pytest.approx(
                gaussian_kde(others[:, d], factor).logpdf(points[i, d]).item(), abs=1e-9
            )
        kernels = norm.pdf(points[i], others, spread * 40 ** (-1 / 6)).prod(1)
        assert found.joint[i] == pytest.approx(math.log(kernels.mean()), abs=1e-9)


def test_batches_join_to_the_posteriors_of_all(linear):
    model, split = linear.model(), MemorySplit(DataSpec((6,), "real"), linear.x, None)
    parts = [infer_latents(model, batch, 2)[0][0].q for batch in split.batches(torch.arange(50), 20)]
    whole = infer_latents(model, split.fetch(torch.arange(50)))[0][0].q
    found = joined(parts)
    assert found.batch_shape == (50,)
    torch.testing.assert_close(found.loc, whole.loc[0])
    torch.testing.assert_close(found.scale, whole.scale[0])


@pytest.mark.parametrize(("estimator", "bias"), [("stratified", 0.015), ("leave_one_out", 0.015), ("kernel", 0.06)])
def test_parts_of_a_normal_aggregate(estimator: str, bias: float, linear):
    split = MemorySplit(DataSpec((6,), "real"), known(linear, 2500), None)
    config = AggregateKLConfig(estimator=estimator, limit=1500, units=True)
    values = measure([config], linear.model(), split, EvaluationContext())
    expected = expected_parts(linear)
    assert min(expected.values()) > 0.1
    for name, number in expected.items():
        value = values[f"{name}_{estimator}_m1500"]
        assert value.unit == "nats"
        assert abs(value.value - number) < 5 * value.stderr + bias, name
        assert value.stderr < 0.06
    part = {name: values[f"{name}_{estimator}_m1500"].value for name in expected}
    assert part["aggregate_kl"] == pytest.approx(part["total_correlation"] + part["dimension_kl"], rel=1e-6)
    units = [values[f"dimension_kl_{estimator}_m1500/unit_{d}"].value for d in range(2)]
    assert sum(units) == pytest.approx(part["dimension_kl"], rel=1e-6)


def test_a_model_of_its_own_data_has_no_aggregate_kl(linear):
    z = torch.randn(3000, 2)
    x = z @ linear.weight.T + linear.bias + 0.7 * torch.randn(3000, 6)
    split = MemorySplit(DataSpec((6,), "real"), x, None)
    config = AggregateKLConfig(estimator="leave_one_out", limit=1500)
    values = measure([config], linear.model(), split, EvaluationContext())
    for name in ("aggregate_kl", "total_correlation", "dimension_kl"):
        value = values[f"{name}_leave_one_out_m1500"]
        assert abs(value.value) < 5 * value.stderr + 0.01, name


def test_information_and_aggregate_kl_sum_to_the_rate(linear, splits_of):
    split = splits_of(linear.x)
    config = AggregateKLConfig(limit=50)
    values = measure([config], linear.model(exact=False), split, EvaluationContext())
    information, divergence = (values[f"{name}_stratified_m50"] for name in ("mutual_information", "aggregate_kl"))
    rate = linear.model(exact=False).infer(split.fetch(torch.arange(50))).total_rate().mean().item()
    assert abs(information.value + divergence.value - rate) < 5 * (information.stderr + divergence.stderr)
    assert information.value <= math.log(50)


def test_what_some_models_lack(tiny_splits):
    split = tiny_splits().test
    names = ("mutual_information", "aggregate_kl", "total_correlation", "dimension_kl")

    def found(model, estimator: str = "stratified") -> set[str]:
        config = AggregateKLConfig(estimator=estimator, limit=20)
        values = measure([config], model, split, EvaluationContext(batch_size=7))
        assert all(math.isfinite(value.value) for value in values.values())
        return {name.removesuffix(f"_{estimator}_m20") for name in values}

    assert found(flat_model()) == set(names)
    assert found(flat_model(posterior="full_normal")) == set(names[:2])
    assert found(flat_model(posterior="flow")) == set(names[:2])
    assert found(flat_model(prior={"kind": "mixture", "dim": 2, "components": 3})) == set(names[:3])
    assert found(flat_model(posterior="hamiltonian")) == set()
    assert found(flat_model(posterior="hamiltonian"), "kernel") == set(names)
    assert found(flat_model(posterior="dirac")) == set()
    assert found(flat_model(posterior="dirac"), "kernel") == set(names[1:])
    assert (
        found(flat_model(posterior="categorical", prior={"kind": "categorical", "variables": 2, "classes": 3})) == set()
    )
    hierarchy = {"kind": "top_down", "top": {"kind": "standard_normal", "dim": 2}, "groups": [3], "width": 8}
    assert found(flat_model(prior=hierarchy)) == set(names)


def test_conditional_models_have_no_aggregate_prior():
    spec = DataSpec((1, 8, 8), "binary", 3, (3,))
    model = build_model(
        model_config({**FLAT, "encoder": {"kind": "conditional"}, "prior": {"kind": "conditional", "dim": 2}}), spec
    )
    split = MemorySplit(spec, torch.rand(12, 64).round(), torch.arange(12) % 3)
    assert measure([AggregateKLConfig()], model, split, EvaluationContext()) == {}


def test_refusals(linear, splits_of):
    model = flat_model((6,), "real", posterior="dirac", likelihood={"kind": "normal", "sigma": "fixed"})
    with pytest.raises(DataError, match=r"component 0 of the latents is constant.*\"stratified\""):
        measure([AggregateKLConfig(estimator="kernel")], model, splits_of(torch.ones(9, 6)), EvaluationContext())
    with pytest.raises(DataError, match="'aggregate_kl' needs 2 data, and there is 1"):
        measure([AggregateKLConfig()], linear.model(), splits_of(linear.x[:1]), EvaluationContext())
