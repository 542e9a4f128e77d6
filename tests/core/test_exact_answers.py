"""The linear-Gaussian VAE, whose likelihood and posterior are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from core.models import flat_model, losses
from vaelab.model import VAE
from vaelab.objectives.elbo import Elbo, ElboConfig
from vaelab.objectives.iwae import Iwae, IwaeConfig
from vaelab.types import Batch, BuildContext, StepContext

D, M, SIGMA = 6, 2, 0.7


def linear_gaussian() -> tuple[VAE, Tensor, MultivariateNormal]:
    r"""A model with $z \sim N(0, I)$, $x = Wz + b + \sigma\epsilon$ and the exact posterior, data and p(x)."""
    generator = torch.Generator().manual_seed(8)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    # orthogonal columns make the exact posterior's covariance diagonal
    w = torch.linalg.qr(draw(D, M))[0] * torch.tensor([1.5, 0.8], dtype=torch.float64)
    b = draw(D)
    model = flat_model(
        (D,),
        "real",
        encoder={"kind": "mlp", "hidden": [2 * D], "activation": "relu"},
        prior={"kind": "standard_normal", "dim": M},
        decoder={"kind": "mlp", "hidden": []},
        likelihood={"kind": "normal", "sigma": "fixed", "scale": SIGMA},
    ).double()
    precision = w.T @ w + SIGMA**2 * torch.eye(M, dtype=torch.float64)
    gain = torch.linalg.solve(precision, w.T)
    log_variance = (SIGMA**2 / precision.diagonal()).log()
    eye = torch.eye(D, dtype=torch.float64)
    with torch.no_grad():
        # x = relu(x) - relu(-x) makes a linear map of an encoder that ends in a relu
        encoder = model.encoder.net[0]
        encoder.weight.copy_(torch.cat([eye, -eye]))
        encoder.bias.zero_()
        head = model.posterior.heads[0].net[0]
        head.weight.zero_()
        head.weight[:M] = torch.cat([gain, -gain], 1)
        head.bias[:M] = -gain @ b
        head.bias[M:] = log_variance
        decoder = model.decoder.net[0]
        decoder.weight.copy_(w)
        decoder.bias.copy_(b)
        # the buffer was rounded to float32 when the model was built
        model.likelihood.log_scale.fill_(math.log(SIGMA))
    marginal = MultivariateNormal(b, w @ w.T + SIGMA**2 * eye)
    x = b + draw(5, M) @ w.T + SIGMA * draw(5, D)
    return model, x, marginal


def test_every_importance_weight_is_the_likelihood_under_the_exact_posterior():
    model, x, marginal = linear_gaussian()
    trace = model.infer(Batch(x), 50)
    expected = marginal.log_prob(x).expand(50, -1)
    torch.testing.assert_close(trace.log_weight, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("samples", [1, 7])
def test_iwae_is_the_exact_likelihood_there(samples: int):
    model, x, marginal = linear_gaussian()
    objective = Iwae(IwaeConfig(samples=samples), BuildContext(model.data))
    loss = objective(model, Batch(x), StepContext())["model"].value
    torch.testing.assert_close(loss, -marginal.log_prob(x), rtol=0, atol=1e-9)


def test_elbo_is_the_exact_likelihood_there_on_average():
    model, x, marginal = linear_gaussian()
    objective = Elbo(ElboConfig(samples=4000), BuildContext(model.data))
    trace = model.infer(Batch(x), 4000)
    error = trace.log_px.std(0) / 4000**0.5
    loss = objective(model, Batch(x), StepContext())["model"].value
    assert ((loss + marginal.log_prob(x)).abs() < 5 * error).all()


def test_bounds_are_ordered_under_a_wrong_posterior():
    model, x, marginal = linear_gaussian()
    with torch.no_grad():
        model.posterior.heads[0].net[0].bias += torch.tensor([0.5, -0.4, 0.3, -0.5], dtype=torch.float64)
    draws = 60_000
    with torch.no_grad():
        log_weight = model.infer(Batch(x), draws).log_weight
    exact = marginal.log_prob(x)

    def bound(samples: int) -> tuple[Tensor, Tensor]:
        # the same draws in groups of K, so that the bounds differ by K alone
        groups = log_weight[: draws // samples * samples].unflatten(0, (-1, samples))
        each = torch.logsumexp(groups, 1) - math.log(samples)
        return each.mean(0), each.std(0) / len(each) ** 0.5

    bounds = {samples: bound(samples) for samples in (1, 2, 3, 4, 8, 32, 33)}
    for one, more in ((1, 2), (2, 3), (3, 4), (32, 33)):
        slack = 4 * (bounds[one][1] + bounds[more][1])
        assert (bounds[one][0] <= bounds[more][0] + slack).all(), (one, more)
    for one, more in ((1, 2), (2, 8), (8, 32)):  # far enough apart to be told from noise
        assert (bounds[one][0] + 4 * bounds[one][1] < bounds[more][0] + 4 * bounds[more][1]).all(), (one, more)
    for mean, error in bounds.values():
        assert (mean <= exact + 4 * error).all()
    assert (bounds[1][0] < exact - 10 * bounds[1][1]).all(), "the posterior is wrong, so the bound is loose"


def test_gap_of_the_elbo_is_the_divergence_from_the_exact_posterior():
    model, x, marginal = linear_gaussian()
    exact = model.infer(Batch(x)).groups[0].q
    with torch.no_grad():
        model.posterior.heads[0].net[0].bias += torch.tensor([0.5, -0.4, 0.3, -0.5], dtype=torch.float64)
    trace = model.infer(Batch(x), 20_000)
    gap = marginal.log_prob(x) - trace.log_weight.mean(0)
    error = trace.log_weight.std(0) / 20_000**0.5
    wrong = trace.groups[0].q
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(wrong.loc[0], wrong.scale[0]),
        torch.distributions.Normal(exact.loc[0].detach(), exact.scale[0].detach()),
    ).sum(-1)
    assert ((gap - kl).abs() < 5 * error).all()


def test_gradient_of_the_bound_is_that_of_the_likelihood_under_the_exact_posterior():
    """Sign and size: where the bound is tight, its gradient for the decoder's bias is d log p(x) / db."""
    model, x, marginal = linear_gaussian()
    bias = model.decoder.net[0].bias
    objective = Iwae(IwaeConfig(samples=20_000), BuildContext(model.data))
    loss = losses(objective, model, Batch(x)).sum()
    (gradient,) = torch.autograd.grad(loss, bias)
    mean = marginal.loc.clone().requires_grad_()
    density = MultivariateNormal(mean, marginal.covariance_matrix).log_prob(x).sum()
    (expected,) = torch.autograd.grad(-density, mean)
    torch.testing.assert_close(gradient, expected, rtol=0.05, atol=0.1)
