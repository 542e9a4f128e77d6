"""Objectives that learn from labels, pairs, corrupted and incomplete data."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from core.models import FLAT, bits, losses, model_config
from core.test_exact_answers import SIGMA, linear_gaussian
from vaelab.build import build
from vaelab.distributions import DiagonalNormal
from vaelab.encoders.corrupted import CorruptedConfig, CorruptedEncoder
from vaelab.errors import BuildError
from vaelab.imputation import impute
from vaelab.model import VAE
from vaelab.objectives import MODEL, Objective
from vaelab.registry import OBJECTIVES
from vaelab.types import Batch, BuildContext, DataSpec, StepContext

M2: dict[str, Any] = {
    **FLAT,
    "posterior": {"kind": "product", "parts": ["categorical", {"kind": "diagonal_normal", "hidden": [8]}]},
    "prior": {
        "kind": "product",
        "chained": True,
        "parts": [{"kind": "categorical", "variables": 1, "classes": 3}, {"kind": "standard_normal", "dim": 2}],
    },
}
CONTEXT = StepContext()


def trained_on(companion: Any, objective: dict[str, Any], base: dict[str, Any]) -> tuple[VAE, Objective[Any]]:
    torch.manual_seed(0)
    spec = DataSpec((1, 8, 8), "binary", 3, companion=companion)
    model, built = build(model_config(base), OBJECTIVES._validate(objective), spec)
    return model.double(), built.double()


# semi-supervised


def few() -> Batch:
    labelled = Batch(bits(4, dtype=torch.float64).x.flip(3), torch.tensor([0, 2, 1, 0]))
    return Batch(bits(6, dtype=torch.float64).x, companion=labelled)


def test_labels_are_summed_out_exactly() -> None:
    """Against a loop over the classes, each observed in its turn, with the same noise."""
    config = {"kind": "semi_supervised", "labelled_weight": 0.7, "classification_weight": 2.0}
    model, objective = trained_on("labelled", config, M2)
    model.train()
    batch = few()
    torch.manual_seed(4)
    loss = objective(model, batch, CONTEXT)[MODEL]
    torch.manual_seed(4)
    noise = torch.randn(3, 6, 2, dtype=torch.float64)
    other_noise = torch.randn(1, 4, 2, dtype=torch.float64)
    assert batch.companion is not None
    assert batch.companion.y is not None

    def parts(data: Batch, label: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        """L(x, y) and log q(y | x), written out."""
        y = torch.nn.functional.one_hot(label, 3).double().view(1, -1, 1, 3)
        feature = model.encoder.features(data)[0]
        logits = model.posterior.parts[0].heads[0](feature, None)
        log_q = (logits.log_softmax(-1) * y).sum((2, 3))[0]
        loc, log_variance = model.posterior.parts[1].heads[0](feature, y.flatten(2)).chunk(2, dim=2)
        z = loc + (0.5 * log_variance).exp() * e
        code = torch.cat([y.flatten(2), z], 2)
        log_px = model.likelihood(model.decoder(code)).log_prob(data.x.unsqueeze(0))
        kl = 0.5 * (log_variance.exp() + loc.square() - 1 - log_variance).sum(2)
        return (-log_px + math.log(3) + kl)[0], log_q

    unlabelled = torch.zeros(6, dtype=torch.float64)
    for label in range(3):
        bound, log_q = parts(batch, torch.full((6,), label), noise[label : label + 1])
        unlabelled += log_q.exp() * (bound + log_q)
    bound, log_q = parts(batch.companion, batch.companion.y, other_noise)
    torch.testing.assert_close(loss.terms["negative_elbo"], unlabelled)
    torch.testing.assert_close(loss.value, unlabelled + 0.7 * bound.mean() - 2.0 * log_q.mean())


def test_the_unlabelled_bound_is_a_bound() -> None:
    model, objective = trained_on("labelled", {"kind": "semi_supervised"}, M2)
    model.eval()
    batch = few()
    torch.manual_seed(1)
    with torch.no_grad():
        wide = Batch(batch.x.repeat_interleave(400, 0), companion=batch.companion)
        bound = objective(model, wide, CONTEXT)[MODEL].terms["negative_elbo"].view(6, 400).mean(1)
        # the exact likelihood from all labels and very many draws of the prior
        z = torch.randn(20_000, 1, 2, dtype=torch.float64)
        joint = []
        for label in range(3):
            y = torch.nn.functional.one_hot(torch.tensor(label), 3).double().expand(len(z), 1, 3)
            likelihood = model.likelihood(model.decoder(torch.cat([y, z], 2))).expand((len(z), 6))
            joint.append(likelihood.log_prob(batch.x.unsqueeze(0)).logsumexp(0) - math.log(3 * len(z)))
        exact = -torch.stack(joint).logsumexp(0)
    assert bool((bound > exact - 0.05).all())
    assert float((bound - exact).mean()) > 0.01


def test_few_labels_teach_the_others() -> None:
    """Three kinds of pictures, one label each: the classes are told apart afterwards, in the right order."""
    model, objective = trained_on("labelled", {"kind": "semi_supervised", "classification_weight": 5.0}, M2)
    generator = torch.Generator().manual_seed(0)
    kinds = torch.rand(3, 1, 8, 8, generator=generator).round()

    def noisy(y: Tensor) -> Tensor:
        flips = torch.rand(len(y), 1, 8, 8, generator=generator) < 0.15
        return torch.where(flips, 1 - kinds[y], kinds[y]).double()

    known = torch.arange(3)
    labelled = Batch(noisy(known), known)
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    torch.manual_seed(0)
    for _ in range(60):
        batch = Batch(noisy(torch.randint(3, (32,), generator=generator)), companion=labelled)
        optimiser.zero_grad()
        objective(model, batch, CONTEXT)[MODEL].value.mean().backward()
        optimiser.step()
    y = torch.randint(3, (300,), generator=generator)
    found = model.encode(noisy(y), mean=True)[0][:, 0].argmax(-1)
    assert float((found == y).double().mean()) > 0.95


def test_semi_supervision_says_what_it_needs() -> None:
    with pytest.raises(BuildError, match="few_labels"):
        trained_on(None, {"kind": "semi_supervised"}, M2)
    with pytest.raises(BuildError, match="categorical variable of 3 classes"):
        trained_on("labelled", {"kind": "semi_supervised"}, FLAT)


# weakly supervised


def pair_batch() -> Batch:
    x = bits(6, dtype=torch.float64).x
    return Batch(x, companion=Batch(x.flip(3)))


def captured(objective: Objective[Any], model: VAE) -> tuple[DiagonalNormal, DiagonalNormal]:
    """The posteriors before and after they are made one, each `[1, 2 B]`."""
    batch = pair_batch()
    assert batch.companion is not None
    both = Batch(torch.cat([batch.x, batch.companion.x]))
    q = model.infer(both).groups[0].q
    assert isinstance(q, DiagonalNormal)
    changed = objective._aggregated(0, q)
    assert isinstance(changed, DiagonalNormal)
    return q, changed


@pytest.mark.parametrize("aggregation", ["mean", "product"])
def test_shared_latents_have_one_posterior(aggregation: str) -> None:
    config = {"kind": "weakly_supervised", "shared": 2, "aggregation": aggregation}
    model, objective = trained_on("pair", config, FLAT)
    q, changed = captured(objective, model)
    one, two = changed.loc[0].chunk(2), changed.scale[0].chunk(2)
    torch.testing.assert_close(one[0][:, :2], one[1][:, :2])
    torch.testing.assert_close(two[0][:, :2], two[1][:, :2])
    assert torch.equal(changed.loc[..., 2:], q.loc[..., 2:])
    torch.testing.assert_close(changed.scale[..., 2:], q.scale[..., 2:])
    loc, scale = q.loc[0].chunk(2), q.scale[0].chunk(2)
    if aggregation == "mean":
        torch.testing.assert_close(one[0][:, :2], ((loc[0] + loc[1]) / 2)[:, :2])
        torch.testing.assert_close(two[0][:, :2].square(), ((scale[0] ** 2 + scale[1] ** 2) / 2)[:, :2])
    else:
        # the product of the two densities differs from the new density by a constant alone
        z = torch.randn(50, 6, 4, dtype=torch.float64)
        logs = [torch.distributions.Normal(a, b).log_prob(z)[..., :2] for a, b in zip(loc, scale, strict=True)]
        new = torch.distributions.Normal(one[0], two[0]).log_prob(z)[..., :2]
        difference = logs[0] + logs[1] - new
        torch.testing.assert_close(difference, difference[:1].expand_as(difference))


def test_latents_that_differ_little_are_shared() -> None:
    model, objective = trained_on("pair", {"kind": "weakly_supervised"}, FLAT)
    q, changed = captured(objective, model)
    halves = [torch.distributions.Normal(q.loc[0, i : i + 6], q.scale[0, i : i + 6]) for i in (0, 6)]
    delta = torch.distributions.kl_divergence(*halves)
    threshold = (delta.amax(1, keepdim=True) + delta.amin(1, keepdim=True)) / 2
    shared = delta < threshold
    assert torch.equal(changed.loc[0, :6] == changed.loc[0, 6:], shared)
    assert bool(shared.any(1).all())
    assert not bool(shared.all(1).any())


def test_pairs_that_share_nothing_are_the_elbo_of_both() -> None:
    """Two equal data: whatever is shared is equal, so the loss is the plain ELBO's."""
    model, objective = trained_on("pair", {"kind": "weakly_supervised"}, FLAT)
    x = bits(6, dtype=torch.float64).x
    paired = losses(objective, model, Batch(x, companion=Batch(x)))
    _, plain = trained_on(None, {"kind": "elbo"}, FLAT)
    both = losses(plain, model, Batch(torch.cat([x, x])))
    torch.testing.assert_close(paired, both.view(2, -1).mean(0))


def test_weak_supervision_says_what_it_needs() -> None:
    with pytest.raises(BuildError, match="pairs"):
        trained_on(None, {"kind": "weakly_supervised"}, FLAT)
    with pytest.raises(BuildError, match="diagonal_normal"):
        trained_on("pair", {"kind": "weakly_supervised"}, {**FLAT, "posterior": "laplace"})


# corrupted inputs


@pytest.mark.parametrize(
    ("noise", "share"), [("normal", 0.0), ("flip", 0.25), ("mask", 0.25), ("patches", 0.5)], ids=lambda v: str(v)
)
def test_corruption_is_what_it_says_and_in_training_alone(noise: str, share: float) -> None:
    config = CorruptedConfig.model_validate({"noise": noise, "share": share, "patch": 2, "scale": 0.3})
    torch.manual_seed(0)
    encoder = CorruptedEncoder(config, BuildContext(DataSpec((1, 6, 6), "unit")))
    x = 0.25 + 0.5 * torch.rand(2000, 1, 6, 6)
    seen = encoder.corrupt(x)
    if noise == "normal":
        assert abs(float((seen - x).std()) - 0.3) < 0.005
    else:
        changed = seen != x
        spread = (share * (1 - share) / (changed.numel() / (4 if noise == "patches" else 1))) ** 0.5
        assert abs(float(changed.double().mean()) - share) < 5 * spread
        torch.testing.assert_close(seen[changed], 1 - x[changed] if noise == "flip" else torch.zeros_like(x[changed]))
    if noise == "patches":
        blocks = (seen == x).view(-1, 3, 2, 3, 2)
        assert torch.equal(blocks.all(2).all(3), blocks.any(2).any(3))
    encoder.eval()
    torch.testing.assert_close(encoder.features(Batch(x))[0], encoder.encoder.features(Batch(x))[0])
    encoder.train()
    assert not torch.allclose(encoder.features(Batch(x))[0], encoder.encoder.features(Batch(x))[0])


def test_the_mask_reaches_the_encoder() -> None:
    torch.manual_seed(0)
    base = {**FLAT, "encoder": {"kind": "with_mask", "encoder": FLAT["encoder"]}}
    model, _ = build(model_config(base), OBJECTIVES._validate("elbo"), DataSpec((1, 8, 8), "binary", masked=True))
    x = torch.zeros(2, 1, 8, 8)
    observed = torch.rand(2, 1, 8, 8) < 0.5
    some = model.encoder.features(Batch(x, observed=observed))[0]
    assert not torch.allclose(some, model.encoder.features(Batch(x))[0])
    torch.testing.assert_close(model.encoder.features(Batch(x, observed=torch.ones_like(observed)))[0],
                               model.encoder.features(Batch(x))[0])  # fmt: skip


# incomplete data


def linear_with_the_prior_for_proposal() -> tuple[VAE, Tensor, MultivariateNormal]:
    """Its encoder knows nothing of masks, so that of incomplete data the prior is the better, bounded proposal."""
    model, x, marginal = linear_gaussian()
    with torch.no_grad():
        for parameter in model.posterior.parameters():
            parameter.zero_()
    return model.eval(), x, marginal


def test_imputation_is_the_conditional_expectation() -> None:
    """The linear-Gaussian model, in which p(x^m | x^o) is a normal that is known."""
    model, x, marginal = linear_with_the_prior_for_proposal()
    observed = torch.tensor([[1, 1, 0, 1, 0, 0]]).bool().expand(5, -1)
    batch = Batch(x * observed, observed=observed)
    torch.manual_seed(0)
    found = impute(model, batch, 40_000, draws=2, max_elements=10**7)
    o, m = observed[0].nonzero()[:, 0], (~observed[0]).nonzero()[:, 0]
    covariance = marginal.covariance_matrix
    gain = covariance[m][:, o] @ covariance[o][:, o].inverse()
    expected = marginal.loc[m] + (x[:, o] - marginal.loc[o]) @ gain.T
    spread = (covariance[m][:, m] - gain @ covariance[o][:, m]).diagonal().sqrt()
    error = (found.mean[:, m] - expected).abs() / (spread * found.ess.rsqrt().unsqueeze(1))
    assert float(error.max()) < 5
    assert torch.equal(found.mean[:, o], x[:, o])
    assert torch.equal(found.draws[0][:, o], x[:, o])
    assert bool((found.ess >= 1).all() & (found.ess <= 40_000).all())


def test_imputed_draws_have_the_conditional_distribution() -> None:
    model, x, marginal = linear_with_the_prior_for_proposal()
    observed = torch.tensor([[1, 1, 1, 0, 0, 1]]).bool()
    one = Batch(x[:1] * observed, observed=observed)
    torch.manual_seed(1)
    draws = impute(model, one, 4000, draws=1500, max_elements=10**8).draws[:, 0]
    o, m = observed[0].nonzero()[:, 0], (~observed[0]).nonzero()[:, 0]
    covariance = marginal.covariance_matrix
    gain = covariance[m][:, o] @ covariance[o][:, o].inverse()
    conditional = MultivariateNormal(
        marginal.loc[m] + gain @ (x[0, o] - marginal.loc[o]), covariance[m][:, m] - gain @ covariance[o][:, m]
    )
    white = torch.linalg.solve_triangular(conditional.scale_tril, (draws[:, m] - conditional.loc).T, upper=False)
    assert float(white.mean(1).abs().max()) < 0.15
    assert float((white @ white.T / white.shape[1] - torch.eye(2, dtype=torch.float64)).abs().max()) < 0.2
    assert SIGMA > 0


def test_the_bound_of_incomplete_data_is_that_of_what_was_observed() -> None:
    model, x, marginal = linear_with_the_prior_for_proposal()
    observed = torch.tensor([[1, 0, 1, 1, 0, 1]]).bool().expand(5, -1)
    o = observed[0].nonzero()[:, 0]
    exact = MultivariateNormal(marginal.loc[o], marginal.covariance_matrix[o][:, o]).log_prob(x[:, o])
    torch.manual_seed(0)
    with torch.no_grad():
        weight = model.infer(Batch(x * observed, observed=observed), 100_000).log_weight
    estimate = weight.logsumexp(0) - math.log(len(weight))
    ess = (2 * weight.logsumexp(0) - (2 * weight).logsumexp(0)).exp()
    assert bool(((estimate - exact).abs() < 5 * (1 / ess - 1 / len(weight)).clamp_min(0).sqrt() + 1e-9).all())
    assert bool((weight.mean(0) < exact).all())
