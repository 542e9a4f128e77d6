"""Special cases that must coincide: with each other, with a loop in plain PyTorch, with finite differences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.models import CHAIN, CODES, FLAT, HIERARCHY, bits, flat_model, losses, model_and
from vaelab.model import VAE
from vaelab.objectives import Objective
from vaelab.types import Batch, StepContext

MODELS = {
    "flat": (FLAT, (1, 8, 8)),
    "mixture": ({**FLAT, "prior": {"kind": "mixture", "dim": 4, "components": 3}}, (1, 8, 8)),
    "hierarchy": (HIERARCHY, (1, 8, 8)),
    "chain": (CHAIN, (1, 4, 6)),
    "codes": (CODES, (1, 8, 8)),
}
EACH = pytest.mark.parametrize("name", MODELS)


def double(objective: dict[str, Any] | str, name: str = "flat") -> tuple[VAE, Objective[Any], Batch]:
    base, shape = MODELS[name]
    model, trained = model_and(objective, base, shape)
    return model.double().eval(), trained.double().eval(), bits(6, shape, torch.float64)


def elbo(**term: Any) -> dict[str, Any]:
    return {"kind": "elbo", "divergences": [{"kind": "kl", **term}]}


@EACH
def test_iwae_with_one_sample_is_the_monte_carlo_elbo(name: str):
    model, iwae, batch = double({"kind": "iwae", "samples": 1}, name)
    _, monte_carlo, _ = double(elbo(estimator="monte_carlo"), name)
    torch.testing.assert_close(losses(iwae, model, batch), losses(monte_carlo, model, batch))


@EACH
def test_elbo_is_distortion_plus_rate(name: str):
    model, objective, batch = double("elbo", name)
    torch.manual_seed(5)
    trace = model.infer(batch)
    expected = (trace.total_rate() - trace.log_px)[0]
    torch.testing.assert_close(losses(objective, model, batch), expected)
    torch.manual_seed(5)
    terms = objective(model, batch, StepContext())["model"].terms
    torch.testing.assert_close(terms["distortion"], -trace.log_px[0])
    torch.testing.assert_close(terms["kl"], trace.total_rate()[0])


@pytest.mark.parametrize("beta", [0.0, 0.5, 4.0])
def test_beta_scales_the_rate(beta: float):
    model, objective, batch = double(elbo(weight=beta))
    torch.manual_seed(5)
    trace = model.infer(batch)
    torch.testing.assert_close(losses(objective, model, batch), (beta * trace.total_rate() - trace.log_px)[0])


@EACH
def test_monte_carlo_agrees_with_the_closed_form(name: str):
    model, _, batch = double("elbo", name)
    draws = 4000
    with torch.no_grad():
        trace = model.infer(batch, draws)
    monte_carlo = trace.log_px - trace.log_weight
    closed = trace.total_rate()
    difference = monte_carlo - closed
    error = difference.std(0) / draws**0.5
    assert (difference.mean(0).abs() <= 5 * error + 1e-9).all()
    if name in ("flat", "hierarchy", "chain"):
        assert (error > 0).all(), "a closed form was used, which is no copy of the estimate"


@EACH
def test_total_rate_is_the_sum_over_groups(name: str):
    model, _, batch = double("elbo", name)
    trace = model.infer(batch, 3)
    by_group = torch.stack([trace.rate(i) for i in range(model.depth)])
    torch.testing.assert_close(trace.total_rate(), by_group.sum(0))
    log_weight = trace.log_px + sum(group.log_p - group.log_q for group in trace.groups)
    torch.testing.assert_close(trace.log_weight, log_weight)


@EACH
def test_more_samples_average(name: str):
    model, objective, batch = double({"kind": "elbo", "samples": 5}, name)
    torch.manual_seed(5)
    trace = model.infer(batch, 5)
    torch.testing.assert_close(losses(objective, model, batch), (trace.total_rate() - trace.log_px).mean(0))


@pytest.mark.parametrize("capacity", [0.0, 2.0, 1000.0])
def test_capacity_is_the_distance_of_the_rate(capacity: float):
    model, objective, batch = double(
        {"kind": "elbo", "divergences": [{"kind": "capacity", "weight": 3.0, "capacity": capacity}]}
    )
    torch.manual_seed(5)
    trace = model.infer(batch)
    expected = -trace.log_px[0] + 3.0 * (trace.total_rate().mean() - capacity).abs()
    torch.testing.assert_close(losses(objective, model, batch), expected)


def test_capacity_zero_is_a_weighted_rate():
    model, objective, batch = double(
        {"kind": "elbo", "divergences": [{"kind": "capacity", "weight": 3.0, "capacity": 0.0}]}
    )
    _, weighted, _ = double(elbo(weight=3.0))
    torch.testing.assert_close(losses(objective, model, batch).mean(), losses(weighted, model, batch).mean())


@pytest.mark.parametrize("name", ["flat", "hierarchy", "chain"])
def test_free_bits(name: str):
    def free(nats: float) -> tuple[VAE, Objective[Any], Batch]:
        return double({"kind": "elbo", "divergences": [{"kind": "free_bits", "nats": nats}]}, name)

    model, tiny, batch = free(1e-12)
    _, plain, _ = double("elbo", name)
    torch.testing.assert_close(losses(tiny, model, batch).mean(), losses(plain, model, batch).mean())
    _, huge, _ = free(1e3)
    torch.manual_seed(5)
    terms = huge(model, batch, StepContext())["model"].terms
    torch.testing.assert_close(
        terms["free_bits"], torch.full((6,), 1e3 * model.depth, dtype=torch.float64), msg="a floor a group"
    )
    terms["free_bits"].sum().backward()
    head = model.posterior.heads[0].net[0].weight
    assert head.grad is None or torch.count_nonzero(head.grad) == 0, "below the floor nothing is gained"


def test_reduction_is_left_to_the_last_line():
    for reduction in ("mean", "sum"):
        model, objective, batch = double({"kind": "elbo", "reduction": reduction})
        assert objective.config.reduction == reduction
        assert losses(objective, model, batch).shape == (6,)


class HandWritten(nn.Module):
    """The 784-200-20-200-784 VAE as any tutorial writes it."""

    def __init__(self, model: VAE, scale: str) -> None:
        super().__init__()
        self.hidden, self.head = model.encoder.net[0], model.posterior.heads[0].net[0]
        self.up, self.out = model.decoder.net[0], model.decoder.net[2]
        self.scale = scale

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, raw = self.head(F.relu(self.hidden(x.flatten(1)))).chunk(2, 1)
        sigma = {"linear": raw, "log_variance": (0.5 * raw).exp(), "softplus": F.softplus(raw)}[self.scale]
        logits = self.out(F.relu(self.up(mu + sigma * noise)))
        bce = F.binary_cross_entropy_with_logits(logits, x.flatten(1), reduction="none").sum(1)
        return bce, mu, sigma


def notebook_model(scale: str, objective: dict[str, Any]) -> tuple[VAE, Objective[Any]]:
    model, trained = model_and(
        objective,
        shape=(1, 28, 28),
        encoder={"kind": "mlp", "hidden": [200]},
        posterior={"kind": "diagonal_normal", "scale": scale},
        prior={"kind": "standard_normal", "dim": 20},
        decoder={"kind": "mlp", "hidden": [200]},
    )
    return model.double(), trained.double()


@pytest.mark.parametrize("scale", ["linear", "log_variance", "softplus"])
def test_flat_model_is_the_loop_written_by_hand(scale: str):
    model, objective = notebook_model(scale, elbo())
    batch = bits(16, (1, 28, 28), torch.float64)
    loss = losses(objective, model, batch, seed=7)
    gradients = torch.autograd.grad(loss.mean(), list(model.parameters()))

    torch.manual_seed(7)
    noise = torch.randn(1, 16, 20, dtype=torch.float64)[0]
    bce, mu, sigma = HandWritten(model, scale)(batch.x, noise)
    expected = bce + 0.5 * (mu**2 + sigma**2 - 1 - (sigma**2).log()).sum(1)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    by_hand = torch.autograd.grad(expected.mean(), list(model.parameters()))
    for one, other in zip(gradients, by_hand, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_formula_of_the_tutorial_is_twice_the_divergence():
    """The tutorial leaves the 1/2 out, takes sigma from a linear layer and sums over the batch."""
    config = {**elbo(weight=2.0), "reduction": "sum"}
    model, objective = notebook_model("linear", config)
    batch = bits(16, (1, 28, 28), torch.float64)
    loss = losses(objective, model, batch, seed=7).sum()
    gradients = torch.autograd.grad(loss, list(model.parameters()))

    torch.manual_seed(7)
    noise = torch.randn(1, 16, 20, dtype=torch.float64)[0]
    bce, mu, sigma = HandWritten(model, "linear")(batch.x, noise)
    assert (sigma < 0).any(), "an untrained linear layer yields scales of both signs"
    kl = -torch.sum(1 + torch.log(sigma.pow(2)) - mu.pow(2) - sigma.pow(2))
    expected = bce.sum() + kl
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(kl, 2 * model.infer(batch).total_rate().sum())
    for one, other in zip(gradients, torch.autograd.grad(expected, list(model.parameters())), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["flat", "mixture", "hierarchy", "chain"])
@pytest.mark.parametrize(
    "objective",
    [
        "elbo",
        elbo(weight=4.0, estimator="monte_carlo"),
        {"kind": "elbo", "samples": 3},
        {"kind": "iwae", "samples": 4},
    ],
    ids=["elbo", "beta_monte_carlo", "elbo3", "iwae4"],
)
def test_gradients_are_those_of_finite_differences(name: str, objective: dict[str, Any] | str):
    model, trained, batch = double(objective, name)

    def loss() -> Tensor:
        return losses(trained, model, batch, seed=13).mean()  # the same noise at each evaluation

    gradients = dict(
        zip(dict(model.named_parameters()), torch.autograd.grad(loss(), list(model.parameters())), strict=True)
    )
    step = 1e-6
    for parameter_name, parameter in model.named_parameters():
        # the entry with the largest gradient: a wrong sign or factor cannot hide in rounding
        index = int(gradients[parameter_name].abs().argmax())
        flat = parameter.data.view(-1)
        before = flat[index].item()
        with torch.no_grad():
            flat[index] = before + step
            up = loss()
            flat[index] = before - step
            down = loss()
            flat[index] = before
        expected = ((up - down) / (2 * step)).item()
        actual = gradients[parameter_name].flatten()[index].item()
        assert actual == pytest.approx(expected, rel=1e-4, abs=1e-6), parameter_name
    assert any(gradient.abs().max() > 1e-3 for gradient in gradients.values())


def test_iwae_loss_by_hand():
    model, objective, batch = double({"kind": "iwae", "samples": 4})
    torch.manual_seed(5)
    weights = model.infer(batch, 4).log_weight.exp()
    torch.testing.assert_close(losses(objective, model, batch), -weights.mean(0).log())


def test_all_three_scales_give_the_same_normal():
    """Only what the head's output means differs."""
    raw = torch.tensor([0.3, -0.7, 1.2, 2.0], dtype=torch.float64)
    scales = {"log_variance": (0.5 * raw).exp(), "softplus": F.softplus(raw), "linear": raw}
    for name, expected in scales.items():
        model = flat_model(posterior={"kind": "diagonal_normal", "scale": name}).double()
        parameters = torch.cat([torch.zeros(4, dtype=torch.float64), raw]).expand(1, 1, 8)
        q = model.posterior.distribution(parameters, model.prior.latent.groups[0])
        torch.testing.assert_close(q.scale[0, 0], expected)
        torch.testing.assert_close(q.log_scale[0, 0], expected.abs().log())


def test_softplus_scale_stays_positive_far_out():
    model = flat_model(posterior={"kind": "diagonal_normal", "scale": "softplus"})
    q = model.posterior.distribution(torch.full((1, 1, 8), -200.0), model.prior.latent.groups[0])
    assert (q.scale > 0).all()
    assert torch.isfinite(q.log_scale).all()
    assert torch.isfinite(q.log_prob(q.loc)).all()


@pytest.mark.parametrize("sigma", ["fixed", "learned", "per_pixel", "optimal"])
def test_normal_likelihoods(sigma: str):
    model = flat_model((6,), "real", likelihood={"kind": "normal", "sigma": sigma, "scale": 0.5})
    x = torch.randn(7, 6)
    model.train()
    trace = model.infer(Batch(x), 3)
    assert trace.log_px.shape == (3, 7)
    if sigma == "optimal":
        error = (x - trace.likelihood.mean).square().mean()
        expected = torch.distributions.Normal(trace.likelihood.mean, error.sqrt()).log_prob(x).sum(-1)
        torch.testing.assert_close(trace.log_px, expected)
        start = torch.tensor(0.5).log()
        moved = start + 0.02 * (0.5 * error.log() - start)
        torch.testing.assert_close(model.likelihood.log_scale, moved.detach())
        model.eval()
        before = model.likelihood.log_scale.clone()
        trace = model.infer(Batch(x), 3)
        assert torch.isfinite(trace.log_px).all()
        assert torch.equal(model.likelihood.log_scale, before), "evaluation leaves the running mean"
        expected = torch.distributions.Normal(trace.likelihood.mean, before.exp()).log_prob(x).sum(-1)
        torch.testing.assert_close(trace.log_px, expected)
    elif sigma != "per_pixel":
        expected = torch.distributions.Normal(trace.likelihood.mean, 0.5).log_prob(x).sum(-1)
        torch.testing.assert_close(trace.log_px, expected)
    learned = {"fixed": 0, "learned": 1, "per_pixel": 0, "optimal": 0}[sigma]
    assert sum(parameter.numel() for parameter in model.likelihood.parameters()) == learned


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_draws_of_data_in_either_mode(mode: str):
    """A figure drawn while training must not depend on the mode of the model."""
    model = flat_model((6,), "real", likelihood={"kind": "normal", "sigma": "optimal", "scale": 0.5})
    model.train(mode == "train")
    assert model.generate(3).sample().shape == (3, 6)
