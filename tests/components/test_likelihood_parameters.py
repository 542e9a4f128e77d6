"""What each number that a decoder yields means to a likelihood."""

from __future__ import annotations

import math
from typing import Any

import pytest
import scipy.stats
import torch
from torch import distributions as td
from torch.nn import functional as F

from core.models import CHAIN, FLAT, flat_model, model_config
from vaelab.build import build_model
from vaelab.errors import BuildError
from vaelab.likelihoods import Likelihood
from vaelab.types import Batch, DataSpec

SHAPE = (3, 4, 5)


def likelihood_of(config: Any, shape: tuple[int, ...] = SHAPE) -> Likelihood[Any]:
    return flat_model(shape, "unit", likelihood=config).double().likelihood


def parameters(likelihood: Likelihood[Any]) -> torch.Tensor:
    return torch.randn(2, 5, *likelihood.parameter_shape, dtype=torch.float64)


def data(levels: int = 256) -> torch.Tensor:
    return torch.randint(levels, (5, *SHAPE)).double() / (levels - 1)


@pytest.mark.parametrize("b", ["fixed", "learned", "per_pixel"])
def test_laplace(b: str):
    likelihood = likelihood_of({"kind": "laplace", "b": b, "scale": 0.3})
    assert [name for name, _ in likelihood.named_parameters()] == (["log_scale"] if b == "learned" else [])
    y, x = parameters(likelihood), data()
    loc, scale = (y[:, :, :3], 0.3 * y[:, :, 3:].exp()) if b == "per_pixel" else (y, torch.full_like(y, 0.3))
    expected = td.Independent(td.Laplace(loc, scale), 3).log_prob(x)
    torch.testing.assert_close(likelihood(y).log_prob(x), expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("sigma", ["fixed", "learned", "per_pixel"])
def test_student_t(sigma: str):
    likelihood = likelihood_of({"kind": "student_t", "df": 4.0, "sigma": sigma, "scale": 0.3, "learn_df": True})
    names = {name for name, _ in likelihood.named_parameters()}
    assert names == {"log_excess", *(("log_scale",) if sigma == "learned" else ())}
    y, x = parameters(likelihood), data()
    loc, scale = (y[:, :, :3], 0.3 * y[:, :, 3:].exp()) if sigma == "per_pixel" else (y, torch.full_like(y, 0.3))
    expected = td.Independent(td.StudentT(4.0, loc, scale), 3).log_prob(x)
    torch.testing.assert_close(likelihood(y).log_prob(x), expected, rtol=1e-6, atol=1e-4)


def test_beta():
    likelihood = likelihood_of({"kind": "beta", "levels": 16})
    y, x = parameters(likelihood), data(16)
    alpha, beta = F.softplus(y[:, :, :3]) + 1e-3, F.softplus(y[:, :, 3:]) + 1e-3
    expected = td.Independent(td.Beta(alpha, beta), 3).log_prob((15 * x + 0.5) / 16) + 60 * math.log(15 / 16)
    torch.testing.assert_close(likelihood(y).log_prob(x), expected)


def test_categorical():
    likelihood = likelihood_of({"kind": "categorical", "levels": 7})
    y, x = parameters(likelihood), data(7)
    # level by level, the channels of a level together
    logits = torch.stack([y[:, :, 3 * level : 3 * level + 3] for level in range(7)], -1)
    expected = td.Independent(td.Categorical(logits=logits), 3).log_prob((6 * x).round())
    torch.testing.assert_close(likelihood(y).log_prob(x), expected)


def test_discretised_logistic_in_the_unit_of_the_paper():
    """Outputs are those of data on [-1, 1] with bins of 2/255."""
    likelihood = likelihood_of("discretised_logistic")
    y, x = 0.3 * parameters(likelihood), data()  # scales for which the difference below does not cancel
    loc, scale = y[:, :, :3].numpy(), y[:, :, 3:].exp().numpy()
    scaled = 2 * x.numpy() - 1
    upper = scipy.stats.logistic.cdf(scaled + 1 / 255, loc, scale)
    lower = scipy.stats.logistic.cdf(scaled - 1 / 255, loc, scale)
    upper[:, scaled == 1] = 1
    lower[:, scaled == -1] = 0
    expected = torch.tensor(upper - lower).log().flatten(2).sum(-1)
    torch.testing.assert_close(likelihood(y).log_prob(x), expected)


@pytest.mark.parametrize(("channels", "width"), [(1, 3), (3, 10)])
def test_mixture_takes_as_many_numbers_as_the_paper_s(channels: int, width: int):
    likelihood = likelihood_of({"kind": "discretised_logistic_mixture", "components": 5}, (channels, 4, 5))
    assert likelihood.parameter_shape == (5 * width, 4, 5)
    p = likelihood(10 * parameters(likelihood))
    assert p.slopes.shape[3] == channels * (channels - 1) // 2
    assert (p.slopes.abs() <= 1).all()
    assert p.log_scale.min() >= -7 - math.log(2)


def test_mixture_of_vectors_is_refused():
    with pytest.raises(BuildError, match="discretised_logistic'"):
        flat_model((6,), "unit", likelihood="discretised_logistic_mixture")


@pytest.mark.parametrize(
    "kind", ["beta", "categorical", "discretised_logistic", "discretised_logistic_mixture", "ms_ssim"]
)
def test_real_data_are_refused(kind: str):
    with pytest.raises(BuildError, match=f"likelihood '{kind}'"):
        flat_model((1, 8, 8), "real", likelihood=kind)


PER_STEP: list[Any] = [
    {"kind": "normal", "sigma": "per_pixel"},
    {"kind": "laplace", "b": "per_pixel"},
    {"kind": "student_t", "sigma": "per_pixel"},
    "beta",
    {"kind": "categorical", "levels": 3},
    "discretised_logistic",
]


@pytest.mark.parametrize("likelihood", PER_STEP, ids=str)
@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6)], ids=["sequence", "image"])
def test_several_parameters_a_pixel_stay_with_their_step(likelihood: Any, shape: tuple[int, ...]):
    """A step's numbers come from its own latent, so that a decoder of steps serves these likelihoods too."""
    model = build_model(model_config(CHAIN, likelihood=likelihood), DataSpec(shape, "unit")).double().eval()
    zs = [torch.randn(2, 3, dtype=torch.float64) for _ in range(4)]
    moved = [z + (t == 2) for t, z in enumerate(zs)]
    x = Batch(torch.rand(2, *shape, dtype=torch.float64))
    before, after = (
        model.infer(x, fixed=dict(enumerate(given))).likelihood.log_prob_terms(x.x)[0] for given in (zs, moved)
    )
    steps = (before != after).reshape(2, 4, 6).any(-1)
    assert steps.tolist() == [[False, False, True, False]] * 2


def test_flat_vectors_take_every_factorising_likelihood():
    for likelihood in PER_STEP:
        model = build_model(model_config(FLAT, likelihood=likelihood), DataSpec((6,), "unit"))
        assert model.sample(3).shape == (3, 6)
