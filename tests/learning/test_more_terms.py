"""The controlled KL, the Jensen-Shannon divergence, the halves of the rate, spectral norm."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from core.models import bits, flat_model, model_and
from learning.test_divergences import CONTEXT, trace_of
from vaelab.distributions import DiagonalNormal, StandardNormal
from vaelab.divergences.controlled_kl import ControlledKL, ControlledKLConfig
from vaelab.divergences.geometric_js import GeometricJS, GeometricJSConfig
from vaelab.divergences.information import MarginalKL, MarginalKLConfig, MutualInformation, MutualInformationConfig
from vaelab.errors import BuildError
from vaelab.inference import Group, Trace
from vaelab.types import Batch, StepContext

# controlled KL


def controller(**arguments: float) -> ControlledKL:
    return ControlledKL(ControlledKLConfig.model_validate({"kind": "controlled_kl", **arguments}), CONTEXT)


@pytest.mark.parametrize("target", [5.0, 20.0])
def test_the_controller_brings_the_rate_to_its_target(target: float) -> None:
    """A plant whose rate falls with the weight and lags behind it, as a network's does."""
    term, rate = controller(target=target), 60.0
    for _ in range(4000):
        weight = float(term.weight_of(torch.full((4,), rate), StepContext()))
        rate += 0.05 * (60 * math.exp(-3 * weight) - rate)
    assert rate == pytest.approx(target, abs=0.2)
    assert 0 < weight < 1


def test_the_controllers_weight_by_hand_and_its_limits() -> None:
    term = controller(target=10.0, proportional=0.01, integral=0.001, least=0.1, most=0.5)
    value = torch.tensor([11.0, 13.0])
    expected = 0.01 / (1 + math.exp(-2.0)) + 0.001 * 2 + 0.1
    assert float(term.weight_of(value, StepContext())) == pytest.approx(expected, rel=1e-5)
    assert float(term.sum) == -2
    for _ in range(2000):
        weight = float(term.weight_of(value, StepContext()))
    assert weight == 0.5
    # the sum stood still at the limit, so that it comes back as soon as the rate is too small
    assert float(term.sum) >= -402
    weights = [float(term.weight_of(torch.tensor([0.0]), StepContext())) for _ in range(60)]
    assert weights[-1] < 0.2
    term.eval()
    before = float(term.sum)
    term.weight_of(value, StepContext())
    assert float(term.sum) == before
    assert "sum" in term.state_dict()


def test_the_weight_is_logged_and_has_no_gradient() -> None:
    model, objective = model_and({"kind": "elbo", "divergences": ["controlled_kl"]})
    loss = objective(model, bits(), StepContext())["model"]
    terms = loss.terms
    torch.testing.assert_close(loss.value, terms["distortion"] + terms["controlled_kl/weight"] * terms["controlled_kl"])
    assert not terms["controlled_kl/weight"].requires_grad


# Jensen-Shannon


def one_dimensional(loc: float, scale: float) -> Trace:
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    q = DiagonalNormal.from_log_scale(loc * one, math.log(scale) * one)
    return Trace(Batch(torch.zeros(1, 4)), [Group(q.rsample(), StandardNormal(torch.zeros_like(one[0, 0])), q)], q)


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("alpha", [0.2, 0.5])
def test_geometric_js_by_quadrature(alpha: float, dual: bool) -> None:
    term = GeometricJS(GeometricJSConfig(alpha=alpha, dual=dual), CONTEXT)
    grid = torch.linspace(-30, 30, 200_001, dtype=torch.float64)
    log_q = torch.distributions.Normal(1.5, 0.6).log_prob(grid)
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(grid)

    def integral(y: Tensor) -> Tensor:
        return torch.trapezoid(y, grid)

    log_g = (1 - alpha) * log_q + alpha * log_p
    log_g = log_g - integral(log_g.exp()).log()

    def kl(one: Tensor, two: Tensor) -> Tensor:
        return integral(one.exp() * (one - two))

    pairs = [(log_g, log_q), (log_g, log_p)] if dual else [(log_q, log_g), (log_p, log_g)]
    expected = (1 - alpha) * kl(*pairs[0]) + alpha * kl(*pairs[1])
    assert float(term(one_dimensional(1.5, 0.6), StepContext())) == pytest.approx(float(expected), rel=1e-6)
    assert float(term(one_dimensional(0.0, 1.0), StepContext())) == pytest.approx(0, abs=1e-12)


def test_geometric_js_is_symmetric_at_one_half() -> None:
    term = GeometricJS(GeometricJSConfig(), CONTEXT)
    one = DiagonalNormal.from_log_scale(torch.randn(3, 4), 0.3 * torch.randn(3, 4))
    two = DiagonalNormal.from_log_scale(torch.randn(3, 4), 0.3 * torch.randn(3, 4))
    torch.testing.assert_close(term._between(one, two), term._between(two, one))


def test_geometric_js_refuses_what_it_does_not_know() -> None:
    with pytest.raises(BuildError, match="diagonal normals"):
        model_and({"kind": "elbo", "divergences": ["geometric_js"]}, posterior="laplace")


# the halves of the rate


def halves(trace: Trace, size: int, estimator: str) -> tuple[Tensor, Tensor]:
    context = StepContext(dataset_size=size)
    arguments = {"estimator": estimator}
    return (
        MutualInformation(MutualInformationConfig.model_validate(arguments), CONTEXT)(trace, context),
        MarginalKL(MarginalKLConfig.model_validate(arguments), CONTEXT)(trace, context),
    )


@pytest.mark.parametrize("estimator", ["stratified", "weighted"])
def test_the_halves_add_up_to_the_rate(estimator: str) -> None:
    trace = trace_of(torch.randn(7, 3, dtype=torch.float64), 0.5 + torch.rand(7, 3, dtype=torch.float64))
    information, marginal = halves(trace, 500, estimator)
    group = trace.groups[0]
    torch.testing.assert_close(information + marginal, (group.log_q - group.log_p)[0])


def test_data_that_are_told_apart_carry_log_n_nats() -> None:
    far = trace_of(100 * torch.arange(8, dtype=torch.float64).unsqueeze(1), torch.ones(8, 1, dtype=torch.float64))
    for estimator, expected in (("stratified", math.log(1000)), ("weighted", math.log(8 * 1000))):
        torch.testing.assert_close(halves(far, 1000, estimator)[0].mean().item(), expected)


def test_information_of_many_data_with_a_normal_aggregate() -> None:
    """x ~ N(0, 1), q(z | x) = N(x, s^2): the information is 1/2 log(1 + 1/s^2)."""
    torch.manual_seed(0)
    number, scale = 1500, 0.7
    x = torch.randn(number, 1, dtype=torch.float64)
    information, marginal = halves(trace_of(x, torch.full_like(x, scale)), number, "stratified")
    expected = 0.5 * math.log(1 + 1 / scale**2)
    assert abs(float(information.mean()) - expected) < 5 * float(information.std()) / number**0.5
    variance = 1 + scale**2
    # KL(N(0, 1 + s^2) || N(0, 1))
    assert float(marginal.mean()) == pytest.approx(0.5 * (variance - 1 - math.log(variance)), abs=0.05)


# spectral norm


@pytest.mark.parametrize("inner", [{"kind": "mlp", "hidden": [12]}, {"kind": "conv", "channels": [8, 4]}])
def test_layers_have_spectral_norm_one(inner: dict[str, object]) -> None:
    model = flat_model(decoder={"kind": "spectral_norm", "decoder": inner, "last_layer": True})
    model.train()
    for _ in range(200):
        model.decoder(torch.randn(1, 2, 4))
    model.eval()
    weights = [m.weight for m in model.decoder.modules() if hasattr(m, "parametrizations")]
    assert len(weights) >= 2
    for weight in weights:
        # of a transposed convolution torch takes the second axis for the outputs
        matrices = (weight.flatten(1), weight.transpose(0, 1).flatten(1))
        norms = [float(torch.linalg.matrix_norm(matrix.detach(), 2)) for matrix in matrices]
        assert min(abs(norm - 1) for norm in norms) < 1e-2
