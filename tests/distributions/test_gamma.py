"""The gamma distribution and the gradient of its draws."""

from __future__ import annotations

import scipy.stats
import torch

from distributions.examples import make
from vaelab.distributions import Gamma


def test_density_moments_and_entropy_against_scipy() -> None:
    ours = make("gamma")
    assert isinstance(ours, Gamma)
    value = ours.sample()
    reference = scipy.stats.gamma(ours.concentration.numpy(), scale=1 / ours.rate.numpy())
    torch.testing.assert_close(ours.log_prob(value), torch.from_numpy(reference.logpdf(value.numpy())).sum(-1))
    torch.testing.assert_close(ours.mean, torch.from_numpy(reference.mean()))
    torch.testing.assert_close(ours.variance, torch.from_numpy(reference.var()))
    torch.testing.assert_close(ours.entropy(), torch.from_numpy(reference.entropy()).sum(-1))


def test_draws_have_the_distribution() -> None:
    one = Gamma(torch.full((40_000, 1), 0.4).double(), torch.full((40_000, 1), 2.0).double())
    torch.manual_seed(0)
    assert scipy.stats.kstest(one.sample()[:, 0].numpy(), scipy.stats.gamma(0.4, scale=0.5).cdf).pvalue > 1e-3


def test_pathwise_gradient_of_moments_is_the_known_one() -> None:
    r"""$E[z] = a/b$, $E[z^2] = a(a+1)/b^2$ and $E[\log z] = \psi(a) - \log b$ by implicit reparametrisation."""
    torch.manual_seed(0)
    number, a, b = 200_000, 0.7, 1.5
    concentration = torch.full((number, 1), a, dtype=torch.float64, requires_grad=True)
    rate = torch.full((number, 1), b, dtype=torch.float64, requires_grad=True)
    z = Gamma(concentration, rate).rsample()
    known = {
        "mean": (z, 1 / b, -a / b**2),
        "square": (z.square(), (2 * a + 1) / b**2, -2 * a * (a + 1) / b**3),
        "log": (z.log(), float(torch.polygamma(1, torch.tensor(a, dtype=torch.float64))), -1 / b),
    }
    for name, (function, by_a, by_b) in known.items():
        gradients = torch.autograd.grad(function.sum(), (concentration, rate), retain_graph=True)
        for gradient, expected in zip(gradients, (by_a, by_b), strict=True):
            error = float(gradient.std()) / number**0.5
            assert abs(float(gradient.mean()) - expected) < 5 * error + 1e-9, name


def test_tiny_concentrations_stay_finite() -> None:
    one = Gamma(torch.full((1000, 1), 1e-3), torch.ones(1000, 1))
    z = one.rsample()
    assert bool((z > 0).all())
    assert bool(one.log_prob(z).isfinite().all())
